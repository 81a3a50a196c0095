import { describe, expect, it } from "vitest";
import { createRegistry } from "../../../src/drivers/registry.ts";
import { createPersistActivity } from "../../../src/flows/persist-activity.ts";
import { createReaper } from "../../../src/flows/reap.ts";
import { createRecordActivity } from "../../../src/flows/record-activity.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { createActivity } from "../../../src/sessions/activity.ts";
import { proofMs } from "../../../src/sessions/idleness.ts";
import { createFakeClock, settled } from "../../support/fake-clock.ts";
import { aDriver, aKey, createFakeRuntime } from "../../support/fake-runtime.ts";

// A pass over many drivers pauses between them, and whatever happens then counts.

const lifetimes = { idleTimeoutMs: 1_800_000, maxTtlMs: 14_400_000, drainLimitMs: 600_000 };
const rules = { intervalMs: 30_000, detachedGraceMs: 300_000 };
const passEveryMs = 10_000;

/** Fewer than two stretches, so that each pass has one pause; `last` is the first to be judged after it. */
const count = 200;
const last = "uid-125";

async function start(duringPause: (world: World) => unknown = () => undefined) {
  const clock = createFakeClock();
  const registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
  const runtime = createFakeRuntime(registry.sink, clock);
  const activity = createActivity(rules, clock.now());
  const idleTimeoutMs = () => lifetimes.idleTimeoutMs;
  const parts = { activity, registry, runtime, clock, log: silentLog, metrics: noMetrics, idleTimeoutMs };
  const writer = createPersistActivity({ ...parts, maxWritesPerSecond: 50 });
  const recorder = createRecordActivity({ ...parts, writer });
  let pauses = 0;
  const reaper = createReaper({
    ...parts,
    writer,
    usage: (uid, now) => activity.usage(uid, now),
    audit: { write: async () => undefined },
    profiles: () => lifetimes,
    intervalMs: rules.intervalMs,
    passEveryMs,
    pause: async () => {
      pauses += 1;
      await settled();
      await duringPause(world);
    },
  });
  const world = { clock, registry, runtime, recorder, reaper, pauses: () => pauses };
  for (let i = 0; i < count; i += 1) {
    runtime.put(aDriver({ uid: `uid-${i}`, key: aKey(`app-${i}`), createdAt: clock.now() }));
  }
  registry.sink.synced();
  return world;
}

interface World {
  readonly clock: ReturnType<typeof createFakeClock>;
  readonly registry: ReturnType<typeof createRegistry>;
  readonly runtime: ReturnType<typeof createFakeRuntime>;
  readonly recorder: ReturnType<typeof createRecordActivity>;
  readonly reaper: ReturnType<typeof createReaper>;
}

const phaseOf = (world: World, uid: string) => world.registry.byUid(uid)?.phase;

/** One pass at a time when all are idle, with what a pass every few seconds would have noticed. */
async function passWhenIdle(world: World, idleMs = lifetimes.idleTimeoutMs): Promise<void> {
  const until = world.clock.now() + idleMs;
  while (world.clock.now() < until - passEveryMs) {
    await world.clock.advance(passEveryMs);
    await world.reaper.runOnce();
  }
  await world.clock.advance(until - world.clock.now());
  await world.reaper.runOnce();
}

describe("a pass over many drivers", () => {
  it("pauses on its way, and judges all of them", async () => {
    const world = await start();
    await world.clock.advance(passEveryMs);
    await world.reaper.runOnce();
    expect(world.pauses()).toBe(1);
    await passWhenIdle(world);
    expect([phaseOf(world, "uid-0"), phaseOf(world, last)]).toEqual(["draining", "draining"]);
  });

  it("sees a use that comes during the pause", async () => {
    const world = await start(({ recorder }) => recorder.called(last));
    await passWhenIdle(world);
    expect([phaseOf(world, "uid-0"), phaseOf(world, last)]).toEqual(["draining", "ready"]);
  });

  it("passes over a driver that goes during the pause", async () => {
    const world = await start(({ runtime }) => runtime.gone(last));
    await passWhenIdle(world);
    expect(world.registry.byUid(last)).toBeUndefined();
    expect(world.runtime.records.map(({ uid }) => uid)).not.toContain(last);
  });

  it("begins nothing more once it is closed during the pause", async () => {
    let ending = false;
    const world = await start(({ reaper }) => ending && reaper.close());
    await passWhenIdle(world, lifetimes.idleTimeoutMs - passEveryMs);
    ending = true;
    await passWhenIdle(world, passEveryMs);
    expect([phaseOf(world, "uid-0"), phaseOf(world, last)]).toEqual(["draining", "ready"]);
  });

  it("ends no driver on the strength of a time that the machine slept through during the pause", async () => {
    let sleeps = 0;
    const world = await start(async ({ clock }) => {
      await clock.advance(sleeps);
      sleeps = 0;
    });
    await world.clock.advance(passEveryMs);
    await world.reaper.runOnce();
    sleeps = lifetimes.idleTimeoutMs;
    await world.reaper.runOnce();
    expect(phaseOf(world, last)).toBe("ready");
    await passWhenIdle(world, proofMs(rules) + passEveryMs);
    expect(phaseOf(world, last)).toBe("draining");
  });

  it("ends no driver when the lead goes to another replica during the pause", async () => {
    const world = await start(({ runtime, clock }) => {
      runtime.may = clock.now() < 1_000_000 + lifetimes.idleTimeoutMs;
    });
    await passWhenIdle(world);
    expect([phaseOf(world, "uid-0"), phaseOf(world, last)]).toEqual(["draining", "ready"]);
  });
});
