import { describe, expect, it } from "vitest";
import type { AuditRecord, DriverRecord } from "../../../src/decisions/audit.ts";
import { createRegistry } from "../../../src/drivers/registry.ts";
import { createPersistActivity } from "../../../src/flows/persist-activity.ts";
import { createReaper } from "../../../src/flows/reap.ts";
import { createRecordActivity } from "../../../src/flows/record-activity.ts";
import { recordDriverEnds } from "../../../src/flows/record-driver-ends.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { createActivity } from "../../../src/sessions/activity.ts";
import { proofMs } from "../../../src/sessions/idleness.ts";
import { createFakeClock, type FakeClock, settled } from "../../support/fake-clock.ts";
import { aDriver, aKey, createFakeRuntime, type FakeRuntime } from "../../support/fake-runtime.ts";
import { aCall } from "../../support/spark-calls.ts";

// Registry, activity, writer and reaper together, on a scripted runtime in memory and a clock that the test moves.

const lifetimes = { idleTimeoutMs: 1_800_000, maxTtlMs: 14_400_000, drainLimitMs: 600_000 };
const rules = { intervalMs: 30_000, detachedGraceMs: 300_000 };
const proof = proofMs(rules);
const passEveryMs = 10_000;

function start(clock: FakeClock, before?: FakeRuntime, synced = true, pause = settled) {
  const registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
  const runtime = createFakeRuntime(registry.sink, clock);
  const activity = createActivity(rules, clock.now());
  const idleTimeoutMs = () => lifetimes.idleTimeoutMs;
  const shared = { activity, registry, runtime, clock, log: silentLog, metrics: noMetrics };
  const writer = createPersistActivity({ ...shared, idleTimeoutMs, maxWritesPerSecond: 50 });
  const recorder = createRecordActivity({ activity, registry, runtime, writer, clock, idleTimeoutMs });
  const records: DriverRecord[] = [];
  const audit = {
    fault: undefined as Error | undefined,
    /** Called when a record has been written. */
    written: (_action: string): void => undefined,
    async write(record: AuditRecord) {
      if (audit.fault) throw audit.fault;
      if (record.kind !== "driver") return;
      records.push(record);
      audit.written(record.action);
    },
  };
  recordDriverEnds({ registry, runtime, audit, clock, log: silentLog });
  const reaper = createReaper({
    registry,
    runtime,
    activity,
    usage: (uid, now) => activity.usage(uid, now),
    writer,
    audit,
    clock,
    log: silentLog,
    metrics: noMetrics,
    profiles: () => lifetimes,
    intervalMs: rules.intervalMs,
    passEveryMs,
    pause,
  });
  for (const key of before ? [aKey("app")] : []) {
    const driver = before?.newest(key);
    if (driver) runtime.put(driver);
  }
  if (synced) registry.sink.synced();
  reaper.start();
  return { clock, registry, runtime, activity, writer, recorder, records, audit, reaper };
}

type World = ReturnType<typeof start>;

async function withDriver(change: Parameters<typeof aDriver>[0] = {}): Promise<World> {
  const clock = createFakeClock();
  const world = start(clock);
  world.runtime.put(aDriver({ createdAt: clock.now(), ...change }));
  await settled();
  return world;
}

/** Lets time pass while one client stream is reported as Envoy does. */
async function streaming(world: World, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += rules.intervalMs) {
    world.recorder.stream({
      uid: "uid-1",
      streamKey: "e/1",
      decisionId: "d",
      method: "AddArtifacts",
      kind: "periodic",
    });
    await world.clock.advance(rules.intervalMs);
  }
}

const alive = (world: World) => world.runtime.newest(aKey("app")) !== undefined;
const actions = (world: World) => world.records.map((record) => `${record.action} ${record.reason}`);

describe("idleness", () => {
  it("ends a driver that was never used: at the idle timeout drained, two intervals later stopped, all audited", async () => {
    const world = await withDriver();
    await world.clock.advance(lifetimes.idleTimeoutMs - 1);
    expect(world.registry.byUid("uid-1")?.phase).toBe("ready");
    await world.clock.advance(passEveryMs);
    expect(world.registry.byUid("uid-1")?.draining?.reason).toBe("idle");
    await world.clock.advance(proof - passEveryMs);
    expect(alive(world)).toBe(true);
    await world.clock.advance(2 * passEveryMs);
    expect(alive(world)).toBe(false);
    expect(world.runtime.stops).toEqual([{ uid: "uid-1", why: "idle" }]);
    expect(actions(world)).toEqual(["drain idle", "stop idle", "ended stopped"]);
  });

  it("counts from when the driver became ready", async () => {
    const world = await withDriver({ phase: "starting", address: undefined });
    await world.clock.advance(100_000);
    world.runtime.ready("uid-1");
    await world.clock.advance(lifetimes.idleTimeoutMs - passEveryMs);
    expect(world.registry.byUid("uid-1")?.draining).toBeUndefined();
  });

  it("ends the drain at the first call, and begins anew after it", async () => {
    const world = await withDriver();
    await world.clock.advance(lifetimes.idleTimeoutMs + 2 * passEveryMs);
    expect(world.registry.byUid("uid-1")?.phase).toBe("draining");
    world.recorder.called("uid-1");
    await world.clock.advance(passEveryMs);
    expect(world.registry.byUid("uid-1")).toMatchObject({ phase: "ready", draining: undefined });
    await world.clock.advance(lifetimes.idleTimeoutMs - 2 * passEveryMs);
    expect(world.registry.byUid("uid-1")?.phase).toBe("ready");
    await world.clock.advance(proof + 4 * passEveryMs);
    expect(alive(world)).toBe(false);
  });

  it.each([
    ["a quiet open stream", (world: World) => streaming(world, 3 * lifetimes.idleTimeoutMs)],
    [
      "a streaming query whose client is gone",
      async (world: World) => {
        const begun = world.recorder.message("uid-1", "d", aCall("ExecutePlan", { streamingQuery: "start" }));
        await settled();
        await begun;
        await world.clock.advance(3 * lifetimes.idleTimeoutMs);
      },
    ],
    [
      "keepalives",
      async (world: World) => {
        for (let i = 0; i < 4; i += 1) {
          world.recorder.keepalive("uid-1");
          await world.clock.advance(lifetimes.idleTimeoutMs - passEveryMs);
        }
      },
    ],
  ])("does not touch a driver with %s", async (_, pass) => {
    const world = await withDriver();
    await pass(world);
    expect(world.registry.byUid("uid-1")).toMatchObject({ phase: "ready", draining: undefined });
    expect(actions(world)).toEqual([]);
  });

  it("sees an access log that stops and starts again as a gap", async () => {
    const world = await withDriver();
    await world.clock.advance(lifetimes.idleTimeoutMs - passEveryMs);
    world.recorder.accessLogGap();
    await world.clock.advance(proof - passEveryMs);
    expect(world.registry.byUid("uid-1")?.phase).toBe("ready");
    await world.clock.advance(3 * passEveryMs);
    expect(world.registry.byUid("uid-1")?.phase).toBe("draining");
  });

  it("sees a pause of its own, such as a machine that slept, as a gap", async () => {
    const world = await withDriver();
    world.reaper.close();
    await world.clock.advance((10 * lifetimes.idleTimeoutMs) / 2);
    await world.reaper.runOnce();
    expect(world.registry.byUid("uid-1")?.phase).toBe("ready");
  });

  it("does nothing before the first list is complete, and proves idleness anew after it", async () => {
    const clock = createFakeClock();
    const world = start(clock, undefined, false);
    world.runtime.put(aDriver({ createdAt: clock.now() }));
    await clock.advance(2 * lifetimes.idleTimeoutMs);
    expect(world.runtime.records).toEqual([]);
    world.registry.sink.synced();
    await clock.advance(proof - passEveryMs);
    expect(world.runtime.records).toEqual([]);
    await clock.advance(2 * passEveryMs);
    expect(world.registry.byUid("uid-1")?.draining?.reason).toBe("idle");
  });

  it("leaves failed drivers alone", async () => {
    const world = await withDriver({ phase: "failed", address: undefined });
    await world.clock.advance(2 * lifetimes.maxTtlMs);
    expect(world.runtime.stops).toEqual([]);
    expect(world.runtime.records).toEqual([]);
  });
});

describe("a restart of ours", () => {
  it("keeps the time of the last use, and proves two intervals long that nobody uses the driver", async () => {
    const first = await withDriver();
    await first.clock.advance(1_000_000);
    first.recorder.called("uid-1");
    await first.writer.close();
    first.reaper.close();
    // A quarter longer than the timeout: for so long a use may have gone unrecorded.
    await first.clock.advance(1.25 * lifetimes.idleTimeoutMs);
    const second = start(first.clock, first.runtime);
    await second.clock.advance(proof - passEveryMs);
    expect(second.registry.byUid("uid-1")?.phase).toBe("ready");
    await second.clock.advance(2 * passEveryMs);
    expect(second.registry.byUid("uid-1")?.phase).toBe("draining");
  });

  it("does not count a driver as unused for longer than it is: uses that were not recorded yet died with us", async () => {
    const first = await withDriver();
    await first.clock.advance(1_000_000);
    first.recorder.called("uid-1");
    await first.clock.advance(lifetimes.idleTimeoutMs / 4 - 1_000);
    first.recorder.called("uid-1");
    const lastUse = first.clock.now();
    first.reaper.close();
    expect(first.runtime.records.at(-1)?.activity.lastActive).toBeLessThan(lastUse);
    const second = start(first.clock, first.runtime);
    await second.clock.advance(lastUse + lifetimes.idleTimeoutMs - 1 - second.clock.now());
    expect(second.registry.byUid("uid-1")?.phase).toBe("ready");
    await second.clock.advance(2 * passEveryMs);
    expect(second.registry.byUid("uid-1")?.phase).toBe("draining");
  });

  it("does not end a stream or a streaming query that lives on", async () => {
    const first = await withDriver();
    const begun = first.recorder.message("uid-1", "d", aCall("ExecutePlan", { streamingQuery: "start" }));
    await settled();
    await begun;
    first.reaper.close();
    await first.clock.advance(lifetimes.idleTimeoutMs);
    const second = start(first.clock, first.runtime);
    await second.clock.advance(2 * lifetimes.idleTimeoutMs);
    expect(second.registry.byUid("uid-1")?.phase).toBe("ready");
    void second.recorder.message("uid-1", "d2", aCall("ReleaseSession"));
    await streaming(second, 2 * lifetimes.idleTimeoutMs);
    expect(second.registry.byUid("uid-1")?.phase).toBe("ready");
  });
});

describe("the maximum lifetime", () => {
  it("drains a busy driver, then ends it at the drain limit", async () => {
    const world = await withDriver();
    await streaming(world, lifetimes.maxTtlMs + passEveryMs);
    expect(world.registry.byUid("uid-1")?.draining?.reason).toBe("max_ttl");
    await streaming(world, lifetimes.drainLimitMs - 2 * rules.intervalMs);
    expect(alive(world)).toBe(true);
    await streaming(world, 3 * rules.intervalMs);
    expect(alive(world)).toBe(false);
    expect(actions(world)).toEqual(["drain max_ttl", "stop max_ttl", "ended stopped"]);
  });

  it("ends it as soon as it is not busy any more", async () => {
    const world = await withDriver();
    await streaming(world, lifetimes.maxTtlMs + passEveryMs);
    await world.clock.advance(proof + 2 * passEveryMs);
    expect(world.runtime.stops).toEqual([{ uid: "uid-1", why: "max_ttl" }]);
  });
});

describe("ends that fail", () => {
  it("do not keep other drivers alive, and are tried again", async () => {
    const world = await withDriver();
    world.runtime.put(aDriver({ uid: "uid-2", key: aKey("other"), createdAt: world.clock.now() }));
    world.runtime.stopError = (uid) => (uid === "uid-1" ? new Error("no") : undefined);
    await world.clock.advance(lifetimes.idleTimeoutMs + proof + 4 * passEveryMs);
    expect(world.runtime.newest(aKey("other"))).toBeUndefined();
    expect(world.registry.byKey(aKey("app"))?.uid).toBe("uid-1");
    const tries = world.runtime.stops.length;
    world.runtime.stopError = () => undefined;
    await world.clock.advance(300_000);
    expect(alive(world)).toBe(false);
    expect(tries).toBeLessThan(5);
  });

  it("stop nothing that cannot be audited", async () => {
    const world = await withDriver();
    world.audit.fault = new Error("disk full");
    await world.clock.advance(2 * lifetimes.idleTimeoutMs);
    expect(world.runtime.stops).toEqual([]);
    expect(world.registry.byKey(aKey("app"))?.uid).toBe("uid-1");
  });
});

describe("stopping by order", () => {
  it("hides the driver at once, audits, remembers the order on the driver, and resolves when it is gone", async () => {
    const world = await withDriver();
    const stop = world.reaper.stopDriver("uid-1", "deleted", "decision-9");
    expect(world.registry.byKey(aKey("app"))).toBeUndefined();
    await stop;
    expect(alive(world)).toBe(false);
    expect(world.runtime.records.at(-1)?.draining).toMatchObject({ reason: "deleted" });
    expect(world.records[0]).toMatchObject({ action: "stop", reason: "deleted", decision_id: "decision-9" });
    await world.reaper.stopDriver("uid-1", "deleted");
    expect(world.runtime.stops).toHaveLength(1);
  });

  it("is one order however often it is asked", async () => {
    const world = await withDriver();
    await Promise.all([world.reaper.stopDriver("uid-1", "deleted"), world.reaper.stopDriver("uid-1", "deleted")]);
    expect(world.runtime.stops).toHaveLength(1);
  });

  it("goes on after a restart", async () => {
    const world = await withDriver({ phase: "draining", draining: { reason: "deleted", since: 1 } });
    await world.clock.advance(passEveryMs);
    expect(world.runtime.stops).toEqual([{ uid: "uid-1", why: "deleted" }]);
  });
});

describe("a replica that may not stop drivers", () => {
  const overdue = lifetimes.idleTimeoutMs + proof + 10 * passEveryMs;

  it("does nothing, writes no audit and counts no failure; once it may, it proves two intervals long first", async () => {
    const world = await withDriver();
    world.runtime.may = false;
    await world.clock.advance(overdue);
    expect(world.runtime.records).toEqual([]);
    expect(actions(world)).toEqual([]);
    world.runtime.may = true;
    await world.clock.advance(passEveryMs + proof - 1);
    expect(actions(world)).toEqual([]);
    await world.clock.advance(2 * passEveryMs);
    expect(actions(world)).toEqual(["drain idle"]);
  });

  it("leaves a drain of the leader as it is", async () => {
    const draining = { reason: "idle", since: 1 } as const;
    const world = await withDriver({ phase: "draining", draining });
    world.runtime.may = false;
    world.recorder.called("uid-1");
    await world.clock.advance(overdue);
    expect(world.registry.byUid("uid-1")?.draining).toEqual(draining);
    expect(world.runtime.stops).toEqual([]);
  });

  it("stops nothing when its turn ends while the audit is written; the driver serves on and no failure counts", async () => {
    const world = await withDriver();
    await world.clock.advance(lifetimes.idleTimeoutMs + passEveryMs);
    world.audit.written = (action) => {
      if (action === "stop") world.runtime.may = false;
    };
    await world.clock.advance(proof + 2 * passEveryMs);
    expect(actions(world)).toEqual(["drain idle", "stop idle"]);
    expect(world.runtime.stops).toEqual([]);
    expect(world.registry.byKey(aKey("app"))?.uid).toBe("uid-1");
    world.audit.written = () => undefined;
    world.runtime.may = true;
    await world.clock.advance(proof + 3 * passEveryMs);
    expect(alive(world)).toBe(false);
  });

  it("sets no drain when its turn ends while the audit is written", async () => {
    const world = await withDriver();
    world.audit.written = () => {
      world.runtime.may = false;
    };
    await world.clock.advance(overdue);
    expect(actions(world)).toEqual(["drain idle"]);
    expect(world.runtime.records).toEqual([]);
  });

  it("refuses to stop by order, and says so", async () => {
    const world = await withDriver();
    world.runtime.may = false;
    await expect(world.reaper.stopDriver("uid-1", "deleted")).rejects.toMatchObject({ reason: "NOT_READY" });
    expect(actions(world)).toEqual([]);
    expect(world.registry.byKey(aKey("app"))?.uid).toBe("uid-1");
  });
});
