import { expect, it } from "vitest";
import { Tally } from "../../../src/edges/http/tally.ts";

const handedOver = (tally: Tally): unknown[] => {
  const all: unknown[] = [];
  tally.handOver((labels, by) => all.push([labels, by]));
  return all;
};

it("hands over what was counted since the last time, by labels", () => {
  const tally = new Tally(["verdict", "reason"]);
  tally.add({ verdict: "allow", reason: "OWNER" }, 1);
  tally.add({ reason: "OWNER", verdict: "allow" }, 2);
  tally.add({ verdict: "deny", reason: "TOKEN_MISSING" }, 1);
  expect(handedOver(tally)).toEqual([
    [{ verdict: "allow", reason: "OWNER" }, 3],
    [{ verdict: "deny", reason: "TOKEN_MISSING" }, 1],
  ]);
  expect(handedOver(tally)).toEqual([]);
  tally.add({ verdict: "allow", reason: "OWNER" }, 5);
  expect(handedOver(tally)).toEqual([[{ verdict: "allow", reason: "OWNER" }, 5]]);
});

it("counts without labels, too", () => {
  const tally = new Tally([]);
  tally.add({}, 4);
  expect(handedOver(tally)).toEqual([[{}, 4]]);
});
