import { describe, expect, it } from "vitest";
import type { DriverRecord } from "../../../src/decisions/audit.ts";
import { createRegistry } from "../../../src/drivers/registry.ts";
import { createPersistActivity } from "../../../src/flows/persist-activity.ts";
import { createRecordActivity } from "../../../src/flows/record-activity.ts";
import { recordDriverEnds } from "../../../src/flows/record-driver-ends.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { createActivity } from "../../../src/sessions/activity.ts";
import { createFakeClock, settled } from "../../support/fake-clock.ts";
import { aDriver, aKey, createFakeRuntime } from "../../support/fake-runtime.ts";
import { aCall } from "../../support/spark-calls.ts";

const idleTimeout = 400_000;
const startQuery = aCall("ExecutePlan", { streamingQuery: "start" });

function setUp() {
  const clock = createFakeClock();
  const registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
  const runtime = createFakeRuntime(registry.sink, clock);
  const activity = createActivity({ intervalMs: 30_000, detachedGraceMs: 300_000 }, 0);
  const writer = createPersistActivity({
    activity,
    registry,
    runtime,
    clock,
    log: silentLog,
    metrics: noMetrics,
    idleTimeoutMs: () => idleTimeout,
    maxWritesPerSecond: 50,
  });
  const recorder = createRecordActivity({
    activity,
    registry,
    runtime,
    writer,
    clock,
    idleTimeoutMs: () => idleTimeout,
  });
  runtime.put(aDriver({ createdAt: clock.now() }));
  return { clock, registry, runtime, activity, writer, recorder };
}

describe("writing activity to the driver's record", () => {
  it("writes ordinary use at most every quarter of the idle timeout, the last use included", async () => {
    const { clock, runtime, recorder } = setUp();
    for (let i = 0; i < 1_000; i += 1) {
      recorder.called("uid-1");
      await clock.advance(1_000);
    }
    expect(runtime.records.length).toBeGreaterThanOrEqual(9);
    expect(runtime.records.length).toBeLessThanOrEqual(11);
    const last = clock.now() - 1_000;
    await clock.advance(idleTimeout / 4);
    expect(runtime.records.at(-1)?.activity.lastActive).toBe(last);
    const written = runtime.records.length;
    await clock.advance(10 * idleTimeout);
    expect(runtime.records).toHaveLength(written);
  });

  it("has a streaming query on the record before its message goes on", async () => {
    const { runtime, recorder } = setUp();
    const stored = recorder.message("uid-1", "d", startQuery);
    expect(stored).toBeInstanceOf(Promise);
    await stored;
    expect(runtime.records.at(-1)?.activity.streamingQueries).toEqual({ "session-1": 1 });
  });

  it("refuses the message, and counts no query, when the record cannot be written", async () => {
    const { clock, runtime, recorder, activity } = setUp();
    runtime.recordError = new Error("disk full");
    await expect(recorder.message("uid-1", "d", startQuery)).rejects.toMatchObject({
      reason: "RECORD_UNAVAILABLE",
      retryAfterMs: 1_000,
    });
    recorder.refused("uid-1", startQuery);
    expect(activity.usage("uid-1", clock.now() + 100_000)?.busy).toEqual([]);
    runtime.recordError = undefined;
    await clock.advance(2_000);
    expect(runtime.records.at(-1)?.activity.streamingQueries).toEqual({});
  });

  it("refuses the message when the record takes too long", async () => {
    const { clock, runtime, recorder } = setUp();
    let finish: () => void = () => undefined;
    runtime.record = () =>
      new Promise((resolve) => {
        finish = resolve;
      });
    const stored = recorder.message("uid-1", "d", startQuery);
    const outcome = expect(stored).rejects.toMatchObject({ reason: "RECORD_UNAVAILABLE" });
    await clock.advance(5_000);
    await outcome;
    finish();
  });

  it("waits for a write that began after the fact", async () => {
    const { runtime, recorder } = setUp();
    const finish: (() => void)[] = [];
    const seen: Record<string, number>[] = [];
    runtime.record = (_, { activity }) => {
      seen.push(activity.streamingQueries);
      return new Promise((resolve) => finish.push(resolve));
    };
    const first = recorder.message("uid-1", "d1", startQuery);
    const second = recorder.message("uid-1", "d2", { ...startQuery, connectSession: "session-2" });
    await settled();
    expect(seen).toHaveLength(1);
    finish.shift()?.();
    await first;
    await settled();
    expect(seen).toEqual([{ "session-1": 1 }, { "session-1": 1, "session-2": 1 }]);
    finish.shift()?.();
    await second;
  });

  it("writes new Connect sessions within a second, and tries again with growing pauses what failed", async () => {
    const { clock, runtime, recorder } = setUp();
    await clock.advance(1_000);
    runtime.recordError = new Error("API away");
    void recorder.message("uid-1", "d", aCall("Config"));
    await clock.advance(60_000);
    expect(runtime.records.length).toBeGreaterThan(3);
    expect(runtime.records.length).toBeLessThan(9);
    runtime.recordError = undefined;
    await clock.advance(60_000);
    expect(runtime.newest(aKey("app"))?.recorded?.connectSessions).toEqual(["session-1"]);
    const written = runtime.records.length;
    await clock.advance(60_000);
    expect(runtime.records).toHaveLength(written);
  });

  it("keeps a drain through writes of activity, and undoes one that could not be written", async () => {
    const { clock, runtime, recorder, writer } = setUp();
    await writer.setDraining("uid-1", { reason: "max_ttl", since: 5 });
    recorder.called("uid-1");
    await clock.advance(idleTimeout);
    expect(runtime.records.at(-1)?.draining).toBe("keep");
    expect(runtime.newest(aKey("app"))?.draining).toEqual({ reason: "max_ttl", since: 5 });
    runtime.recordError = new Error("no");
    await expect(writer.setDraining("uid-1", undefined)).rejects.toMatchObject({ reason: "RECORD_UNAVAILABLE" });
    expect(writer.draining("uid-1")).toEqual({ reason: "max_ttl", since: 5 });
  });

  it("writes what is left when it closes, and nothing of drivers that are gone", async () => {
    const { clock, runtime, recorder, writer } = setUp();
    recorder.called("uid-1");
    await writer.close();
    expect(runtime.records).toHaveLength(1);
    const other = setUp();
    other.recorder.called("uid-1");
    other.runtime.gone("uid-1");
    await other.clock.advance(idleTimeout);
    await clock.advance(idleTimeout);
    expect(other.runtime.records).toEqual([]);
    expect(other.clock.pending).toBe(0);
  });
});

describe("Connect sessions", () => {
  it("are known to the registry at once, clones included, and when their driver is gone", () => {
    const { registry, runtime, recorder } = setUp();
    void recorder.message("uid-1", "d", aCall("CloneSession", { newConnectSession: "session-2" }));
    runtime.gone("uid-1");
    runtime.put(aDriver({ uid: "uid-2" }));
    expect(registry.connectSessionDriver(aKey("app"), "session-1")).toBe("uid-1");
    expect(registry.connectSessionDriver(aKey("app"), "session-2")).toBe("uid-1");
  });
});

describe("ends that are seen", () => {
  it("are audited: a failed start with its cause, then the end; not what failed before our start", async () => {
    const { clock, registry, runtime } = setUp();
    const records: DriverRecord[] = [];
    const write = async (record: unknown) => void records.push(record as DriverRecord);
    recordDriverEnds({ registry, runtime, audit: { write }, clock, log: silentLog });
    runtime.put(aDriver({ uid: "old", phase: "failed", address: undefined }));
    registry.sink.synced();
    runtime.put(aDriver({ uid: "new", phase: "starting", address: undefined }));
    runtime.fail("new", "exit code 1", ["no such jar"]);
    runtime.gone("new");
    expect(records).toMatchObject([
      { action: "failed", reason: "start_failed", message: expect.stringContaining("no such jar"), driver_uid: "new" },
      { action: "ended", reason: "died", owner: "alice@dev", driver: "driver-new" },
    ]);
  });
});
