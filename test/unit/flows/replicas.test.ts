import { describe, expect, it } from "vitest";
import { proofMs } from "../../../src/sessions/idleness.ts";
import { createFakeClock, settled } from "../../support/fake-clock.ts";
import { aDriver, aKey } from "../../support/fake-runtime.ts";
import {
  createSharedWorld,
  lifetimes,
  passEveryMs,
  type Replica,
  rules,
  startReplica,
} from "../../support/replicas.ts";
import { aCall } from "../../support/spark-calls.ts";

// Two replicas that record on the same drivers; "a" leads, calls come in at "b".

const proof = proofMs(rules);
const startQuery = aCall("ExecutePlan", { streamingQuery: "start" });

async function setUp(change: Parameters<typeof aDriver>[0] = {}, watchDelayMs = 0) {
  const world = createSharedWorld(createFakeClock());
  world.leader = "a";
  const a = startReplica(world, "a");
  const b = startReplica(world, "b");
  world.put(aDriver({ createdAt: world.clock.now(), ...change }));
  world.watchDelayMs = watchDelayMs;
  await settled();
  return { world, clock: world.clock, a, b, driver: () => world.drivers.get("uid-1") };
}

type World = Awaited<ReturnType<typeof setUp>>;

async function streaming({ clock }: World, replica: Replica, ms: number): Promise<void> {
  const stream = { uid: "uid-1", streamKey: "e/1", decisionId: "d", method: "AddArtifacts", kind: "periodic" } as const;
  for (let passed = 0; passed < ms; passed += rules.intervalMs) {
    replica.recorder.stream(stream);
    await clock.advance(rules.intervalMs);
  }
}

const actions = (replica: Replica) => replica.records.map((record) => `${record.action} ${record.reason}`);

describe("a driver that only another replica sees in use", () => {
  it("is not drained while a quiet stream is reported there, and its last use is recorded every quarter", async () => {
    const world = await setUp();
    for (let i = 0; i < 8; i += 1) {
      await streaming(world, world.b, lifetimes.idleTimeoutMs / 4);
      const known = world.driver()?.recorded?.lastActive ?? 0;
      expect(world.clock.now() - known).toBeLessThanOrEqual(lifetimes.idleTimeoutMs / 4 + rules.intervalMs);
    }
    expect(actions(world.a)).toEqual([]);
    expect(world.driver()).toMatchObject({ phase: "ready", draining: undefined });
  });

  it("is judged anew where a use is recorded between the judgement and the order", async () => {
    const world = await setUp();
    world.a.audit.written = (action) => {
      const driver = world.driver();
      if (action !== "stop" || driver?.recorded === undefined) return;
      const now = world.clock.now();
      world.world.put({ ...driver, recorded: { ...driver.recorded, lastActive: now, recordedAt: now } });
      world.a.audit.written = () => undefined;
    };
    await world.clock.advance(lifetimes.idleTimeoutMs + proof + 4 * passEveryMs);
    expect(world.world.stops).toEqual([]);
    await world.clock.advance(10 * passEveryMs);
    expect(world.driver()).toMatchObject({ phase: "ready", draining: undefined });
    expect(world.a.registry.isEnding("uid-1")).toBe(false);
    await world.clock.advance(lifetimes.idleTimeoutMs + 2 * proof);
    expect(world.world.stops).toEqual([{ by: "a", uid: "uid-1" }]);
  });

  it("is ended when nobody uses it: by the leader alone, audited once", async () => {
    const world = await setUp();
    world.b.recorder.called("uid-1");
    await world.clock.advance(lifetimes.idleTimeoutMs + proof + 4 * passEveryMs);
    expect(world.world.stops).toEqual([{ by: "a", uid: "uid-1" }]);
    expect(actions(world.a)).toEqual(["drain idle", "stop idle", "ended stopped"]);
    await world.clock.advance(300_000);
    expect(actions(world.b)).toEqual([]);
    expect(world.clock.pending).toBe(2);
  });

  it("is undrained when a call comes in there after the mark", async () => {
    const world = await setUp({}, 200);
    await world.clock.advance(lifetimes.idleTimeoutMs + 2 * passEveryMs);
    expect(world.driver()?.draining?.reason).toBe("idle");
    await world.clock.advance(proof / 2);
    world.b.recorder.called("uid-1");
    await world.clock.advance(2 * passEveryMs);
    expect(world.driver()).toMatchObject({ phase: "ready", draining: undefined });
    expect(world.world.stops).toEqual([]);
  });

  it("is undrained when a use before the mark had not been recorded yet", async () => {
    const world = await setUp({}, 200);
    await world.clock.advance(lifetimes.idleTimeoutMs - 60_000);
    const record = world.world;
    // As if that replica could not reach the API: its write waits for its next try.
    const driver = world.driver();
    if (driver === undefined) throw new Error("no driver");
    world.b.activity.called("uid-1", world.clock.now());
    await world.clock.advance(60_000 + 2 * passEveryMs);
    expect(driver.recorded?.lastActive ?? 0).toBeLessThan(world.clock.now() - 60_000);
    await world.clock.advance(3 * passEveryMs);
    expect(world.driver()).toMatchObject({ phase: "ready", draining: undefined });
    expect(record.stops).toEqual([]);
  });

  it("is not stopped past its maximum lifetime while a stream is reported there, until the drain limit", async () => {
    const world = await setUp({}, 200);
    await streaming(world, world.b, lifetimes.maxTtlMs + 2 * rules.intervalMs);
    expect(world.driver()?.draining?.reason).toBe("max_ttl");
    await streaming(world, world.b, lifetimes.drainLimitMs - 4 * rules.intervalMs);
    expect(world.world.stops).toEqual([]);
    await streaming(world, world.b, 5 * rules.intervalMs);
    expect(world.world.stops).toHaveLength(1);
  });

  it("counts as busy here for its streaming queries there, which may be stopped here", async () => {
    const world = await setUp({}, 200);
    const begun = world.b.recorder.message("uid-1", "d", startQuery);
    await world.clock.advance(1_000);
    await begun;
    expect(world.a.usage("uid-1")?.busy).toContain("streaming_query");
    await world.clock.advance(2 * lifetimes.idleTimeoutMs);
    expect(world.driver()?.phase).toBe("ready");
    void world.a.recorder.message("uid-1", "e", aCall("ReleaseSession"));
    await world.clock.advance(5_000);
    expect(world.driver()?.recorded?.streamingQueries).toEqual({});
    expect(world.b.activity.toRecord("uid-1")?.streamingQueries).toEqual({});
    expect(world.b.usage("uid-1")?.busy).not.toContain("streaming_query");
  });

  it("counts every query once, whoever starts it, also when both write at the same time", async () => {
    const world = await setUp({}, 200);
    for (let i = 0; i < 3; i += 1) {
      const both = [world.a, world.b].map((one, j) => one.recorder.message("uid-1", `d${i}${j}`, { ...startQuery }));
      await world.clock.advance(2_000);
      for (const one of both) await one;
    }
    await world.clock.advance(lifetimes.idleTimeoutMs);
    const six = { "session-1": 6 };
    expect(world.driver()?.recorded?.streamingQueries).toEqual(six);
    expect(world.a.activity.toRecord("uid-1")?.streamingQueries).toEqual(six);
    expect(world.b.activity.toRecord("uid-1")?.streamingQueries).toEqual(six);
  });
});

describe("the drain", () => {
  it("survives a write of activity by a replica that has not seen it yet", async () => {
    const world = await setUp({}, 5_000);
    await world.a.writer.setDraining("uid-1", { reason: "deleted", since: 7 });
    expect(world.b.registry.byUid("uid-1")?.draining).toBeUndefined();
    void world.b.recorder.message("uid-1", "d", aCall("Config"));
    await world.clock.advance(1_000);
    expect(world.driver()?.recorded?.connectSessions).toEqual(["session-1"]);
    expect(world.driver()?.draining).toEqual({ reason: "deleted", since: 7 });
  });

  it("is known to who wrote it before the watch reports it, and what the watch reports then holds", async () => {
    const world = await setUp({}, 5_000);
    const draining = { reason: "idle", since: 7 } as const;
    await world.a.writer.setDraining("uid-1", draining);
    expect(world.a.registry.byUid("uid-1")?.draining).toBeUndefined();
    expect(world.a.writer.draining("uid-1")).toEqual(draining);
    await world.clock.advance(5_000);
    world.world.leader = "b";
    await world.b.writer.setDraining("uid-1", undefined);
    await world.clock.advance(5_000);
    expect(world.a.writer.draining("uid-1")).toBeUndefined();
  });

  it("that was undone before it was reported is not believed for ever", async () => {
    const world = await setUp({}, 5_000);
    await world.a.writer.setDraining("uid-1", { reason: "idle", since: 7 });
    const driver = world.driver();
    world.world.sinks.clear();
    expect(driver).toBeDefined();
    await world.clock.advance(61_000);
    expect(world.a.writer.draining("uid-1")).toBeUndefined();
  });
});

describe("a new leader", () => {
  it("proves two intervals long that nobody uses the driver, then goes on where the old one stopped", async () => {
    const world = await setUp();
    await world.clock.advance(lifetimes.idleTimeoutMs + passEveryMs);
    expect(actions(world.a)).toEqual(["drain idle"]);
    world.world.leader = "b";
    await world.clock.advance(proof);
    expect(world.world.stops).toEqual([]);
    await world.clock.advance(3 * passEveryMs);
    expect(world.world.stops).toEqual([{ by: "b", uid: "uid-1" }]);
    expect(actions(world.b)).toEqual(["stop idle", "ended stopped"]);
  });
});

describe("ends", () => {
  it("are written by the next leader when the old one dies with them", async () => {
    const world = await setUp();
    world.a.kill();
    world.world.gone("uid-1", "died");
    await world.clock.advance(15_000);
    expect(actions(world.b)).toEqual([]);
    world.world.leader = "b";
    await world.clock.advance(5_000);
    expect(actions(world.b)).toEqual(["ended died"]);
    await world.clock.advance(300_000);
    expect(actions(world.b)).toHaveLength(1);
  });

  it("are kept for as long as nobody leads, and written when the replica ends meanwhile", async () => {
    const world = await setUp();
    world.a.kill();
    world.world.leader = undefined;
    world.world.gone("uid-1", "died");
    await world.clock.advance(600_000);
    expect(actions(world.b)).toEqual([]);
    world.b.stopRecordingEnds();
    expect(actions(world.b)).toEqual(["ended died"]);
  });

  it("are not written a second time by a replica that leads later", async () => {
    const world = await setUp();
    world.world.gone("uid-1", "died");
    expect(actions(world.a)).toEqual(["ended died"]);
    await world.clock.advance(130_000);
    world.world.leader = "b";
    await world.clock.advance(60_000);
    expect(actions(world.b)).toEqual([]);
  });

  it("are written all the same when too many are kept", async () => {
    const world = await setUp();
    for (let i = 0; i < 1_002; i += 1) {
      world.world.put(aDriver({ uid: `u-${i}`, key: aKey(`app-${i}`) }));
      world.world.gone(`u-${i}`, "died");
    }
    expect(world.b.records.map((record) => record.driver_uid)).toEqual(["u-0", "u-1"]);
  });
});

describe("Connect sessions", () => {
  it("that only the other replica saw get SESSION_CHANGED here too", async () => {
    const world = await setUp();
    void world.b.recorder.message("uid-1", "d", aCall("Config"));
    await world.clock.advance(2_000);
    world.world.gone("uid-1", "died");
    world.world.put(aDriver({ uid: "uid-2" }));
    expect(world.a.registry.connectSessionDriver(aKey("app"), "session-1")).toBe("uid-1");
  });
});
