import { describe, expect, it } from "vitest";
import { createRegistry } from "../../../src/drivers/registry.ts";
import { createPersistActivity } from "../../../src/flows/persist-activity.ts";
import { createRecordActivity } from "../../../src/flows/record-activity.ts";
import { createWriteTurns, maxWritesAtOnce } from "../../../src/flows/write-turns.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { createActivity } from "../../../src/sessions/activity.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { aDriver, aKey, createFakeRuntime } from "../../support/fake-runtime.ts";
import { aCall } from "../../support/spark-calls.ts";

describe("turns for writes", () => {
  function setUp(perSecond: number) {
    const clock = createFakeClock();
    const turns = createWriteTurns(clock, perSecond);
    const begun: string[] = [];
    const take = (name: string, soon = false) =>
      turns.take(soon, async () => {
        begun.push(name);
      });
    return { clock, turns, begun, take };
  }

  it("begin as many at once as may begin in a second, then one after the other", async () => {
    const { clock, begun, take } = setUp(10);
    for (let i = 0; i < 30; i += 1) take(String(i));
    await clock.advance(0);
    expect(begun).toHaveLength(10);
    await clock.advance(100);
    expect(begun).toHaveLength(11);
    await clock.advance(1_900);
    expect(begun).toEqual(Array.from({ length: 30 }, (_, i) => String(i)));
    expect(clock.pending).toBe(0);
  });

  it("go to what is needed soon first, and never to what was withdrawn", async () => {
    const { clock, begun, take } = setUp(1);
    for (const name of ["a", "b", "c"]) take(name);
    const withdraw = take("d");
    take("urgent", true);
    withdraw();
    await clock.advance(10_000);
    expect(begun).toEqual(["a", "urgent", "b", "c"]);
  });

  it("make up for what passed them by, for a second at most", async () => {
    const { clock, turns, begun, take } = setUp(10);
    for (let i = 0; i < 1_000; i += 1) turns.passedBy();
    take("a");
    await clock.advance(1_000);
    expect(begun).toEqual([]);
    await clock.advance(100);
    expect(begun).toEqual(["a"]);
  });

  it("wait while too many are under way", async () => {
    const clock = createFakeClock();
    const turns = createWriteTurns(clock, 1_000);
    const ends: (() => void)[] = [];
    for (let i = 0; i < 100; i += 1) turns.take(false, () => new Promise((resolve) => ends.push(resolve)));
    await clock.advance(10_000);
    expect(ends).toHaveLength(maxWritesAtOnce);
    ends[0]?.();
    await clock.advance(0);
    expect(ends).toHaveLength(maxWritesAtOnce + 1);
  });

  it("end with the writer", async () => {
    const { clock, turns, begun, take } = setUp(1);
    for (const name of ["a", "b"]) take(name);
    turns.close();
    take("c");
    await clock.advance(10_000);
    expect(begun).toEqual(["a"]);
    expect(clock.pending).toBe(0);
  });
});

describe("records of many drivers", () => {
  const minute = 60_000;
  const idleTimeoutMs = 30 * minute;

  function setUp(drivers: number, maxWritesPerSecond: number) {
    const clock = createFakeClock();
    const registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
    const runtime = createFakeRuntime(registry.sink, clock);
    const activity = createActivity({ intervalMs: 30_000, detachedGraceMs: 5 * minute }, 0);
    const parts = { activity, registry, runtime, clock, log: silentLog, metrics: noMetrics };
    const writer = createPersistActivity({ ...parts, idleTimeoutMs: () => idleTimeoutMs, maxWritesPerSecond });
    const recorder = createRecordActivity({ ...parts, writer, idleTimeoutMs: () => idleTimeoutMs });
    const uids = Array.from({ length: drivers }, (_, i) => `uid-${i}`);
    for (const uid of uids) runtime.put(aDriver({ uid, key: aKey(uid), createdAt: clock.now() - idleTimeoutMs }));
    return { clock, runtime, writer, recorder, uids };
  }

  it("that fall due together are written one after the other, each once", async () => {
    const { clock, runtime, recorder, uids } = setUp(100, 10);
    for (const uid of uids) recorder.called(uid);
    await clock.advance(1_000);
    expect(runtime.records.length).toBeLessThanOrEqual(20);
    await clock.advance(9_000);
    expect(runtime.records.map(({ uid }) => uid)).toEqual(uids);
  });

  it("let what a message waits for pass by", async () => {
    const { clock, runtime, recorder, uids } = setUp(100, 1);
    for (const uid of uids) recorder.called(uid);
    await clock.advance(0);
    const urgent = recorder.message("uid-99", "d", aCall("ExecutePlan", { streamingQuery: "start" }));
    await clock.advance(0);
    await expect(urgent).resolves.toBeUndefined();
    expect(runtime.records.map(({ uid }) => uid)).toEqual(["uid-0", "uid-99"]);
  });

  it("are all written when Gatehouse ends", async () => {
    const { clock, runtime, writer, recorder, uids } = setUp(100, 1);
    for (const uid of uids) recorder.called(uid);
    await writer.close();
    expect(new Set(runtime.records.map(({ uid }) => uid))).toEqual(new Set(uids));
    await clock.advance(minute);
    expect(runtime.records).toHaveLength(100);
  });

  it("stay below four writes in an idle timeout for each driver in constant use", async () => {
    const { clock, runtime, recorder, uids } = setUp(50, 50);
    const hours = 4;
    for (let passed = 0; passed < hours * 60 * minute; passed += 30_000) {
      for (const uid of uids) {
        recorder.called(uid);
        recorder.stream({ uid, streamKey: uid, decisionId: "d", method: "ExecutePlan", kind: "periodic" });
      }
      await clock.advance(30_000);
    }
    const quarters = (hours * 60 * minute) / (idleTimeoutMs / 4);
    expect(runtime.records.length).toBeLessThanOrEqual(uids.length * (quarters + 1));
    expect(runtime.records.length).toBeGreaterThan(uids.length * (quarters - 2));
  });
});
