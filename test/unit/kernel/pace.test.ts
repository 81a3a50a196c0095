import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { afterPause } from "../../../src/kernel/pace.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate"] }));
afterEach(() => void vi.useRealTimers());

test.each([
  { tookMs: 0, pauseMs: 0, why: "nothing is left that others would wait for" },
  { tookMs: 0.1, pauseMs: 0, why: "too short for a timer" },
  { tookMs: 1, pauseMs: 9, why: "a tenth of the thread" },
  { tookMs: 500, pauseMs: 20, why: "however long the turn took" },
])("after a turn of $tookMs ms the next one waits $pauseMs ms: $why", ({ tookMs, pauseMs }) => {
  const task = vi.fn();
  afterPause(tookMs, task);
  expect(task).not.toHaveBeenCalled();
  if (pauseMs > 0) {
    vi.advanceTimersByTime(pauseMs - 1);
    expect(task).not.toHaveBeenCalled();
  }
  vi.advanceTimersByTime(pauseMs > 0 ? 1 : 0);
  expect(task).toHaveBeenCalledTimes(1);
});

test.each([0, 1])("a turn that is cancelled does not run (after one of %d ms)", (tookMs) => {
  const task = vi.fn();
  afterPause(tookMs, task)();
  vi.advanceTimersByTime(100);
  expect(task).not.toHaveBeenCalled();
});
