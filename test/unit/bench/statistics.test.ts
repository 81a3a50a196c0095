import { expect, test } from "vitest";
import { figureSpread, outcomeOf, spreadOf } from "../../bench/statistics.ts";

test("the median of an even number of values lies between the two in the middle", () => {
  expect(spreadOf([4, 1, 3, 2])).toEqual({ median: 2.5, least: 1, most: 4 });
  expect(spreadOf([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 });
  expect(spreadOf([])).toBeUndefined();
  expect(spreadOf([1, Infinity, Infinity, Infinity])?.median).toBe(Infinity);
});

test("a figure that a variant does not show has no spread", () => {
  expect(figureSpread({ ours: [{ rate: 1 }] }, "ours", "p99")).toBeUndefined();
  expect(figureSpread({ ours: [{ rate: 1 }] }, "theirs", "rate")).toBeUndefined();
});

const rounds = {
  bare: [
    { rate: 100, p99: 1 },
    { rate: 50, p99: 2 },
    { rate: 100, p99: 1 },
  ],
  go: [
    { rate: 40, p99: 3 },
    { rate: 10, p99: 4 },
    { rate: 40, p99: 1 },
  ],
  ours: [
    { rate: 20, p99: 6 },
    { rate: 10, p99: 5 },
    { rate: 30, p99: 2 },
  ],
};
const target = { text: "", variant: "ours", per: "go" };

test("quotients are taken within a round, so that a slow round does not count against one side", () => {
  // The quotient of the medians would be 0.5.
  const outcome = outcomeOf({ ...target, figure: "rate", atLeast: 0.75 }, rounds);
  expect(outcome).toEqual({ spread: { median: 0.75, least: 0.5, most: 1 }, reached: true });
  expect(outcomeOf({ ...target, figure: "rate", atLeast: 0.76 }, rounds)?.reached).toBe(false);
});

test("what is above a base is compared; a peer that added nothing counts against us", () => {
  const added = { ...target, figure: "p99", above: "bare", atMost: 2.5 };
  expect(outcomeOf(added, rounds)).toEqual({ spread: { median: 2.5, least: 1.5, most: Infinity }, reached: true });
  const nothing = { bare: [{ p99: 2 }], go: [{ p99: 2 }], ours: [{ p99: 2 }] };
  expect(outcomeOf(added, nothing)?.reached).toBe(false);
  expect(outcomeOf({ ...target, figure: "p99", above: "bare", atLeast: 1 }, nothing)?.reached).toBe(false);
});

test("a plain figure is compared as it is, and what was not measured is not judged", () => {
  const plain = { text: "", figure: "p99", variant: "ours", atMost: 5 };
  expect(outcomeOf(plain, rounds)).toEqual({ spread: { median: 5, least: 2, most: 6 }, reached: true });
  expect(outcomeOf({ ...plain, variant: "theirs" }, rounds)).toBeUndefined();
  expect(outcomeOf({ ...plain, per: "theirs" }, rounds)).toBeUndefined();
});
