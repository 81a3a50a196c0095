import type { AuditRecord, DriverRecord } from "../../src/decisions/audit.ts";
import type { Draining, Driver, DriverEnd } from "../../src/drivers/driver.ts";
import { createRegistry } from "../../src/drivers/registry.ts";
import type { DriverRuntime, DriverSink } from "../../src/drivers/runtime.ts";
import { createDriverUsage } from "../../src/flows/driver-usage.ts";
import { createPersistActivity } from "../../src/flows/persist-activity.ts";
import { createReaper } from "../../src/flows/reap.ts";
import { createRecordActivity } from "../../src/flows/record-activity.ts";
import { recordDriverEnds } from "../../src/flows/record-driver-ends.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";
import { createActivity } from "../../src/sessions/activity.ts";
import { mergeActivity } from "../../src/sessions/activity-merge.ts";
import { type FakeClock, settled } from "./fake-clock.ts";

/** What several replicas share: drivers with records, as an API server keeps them. For tests of pure code only. */
export interface SharedWorld {
  readonly clock: FakeClock;
  readonly drivers: Map<string, Driver>;
  readonly stops: { readonly by: string; readonly uid: string }[];
  leader: string | undefined;
  put(driver: Driver): void;
  gone(uid: string, cause: DriverEnd["cause"]): void;
  /** How long a change takes to reach the watches. ms */
  watchDelayMs: number;
  readonly sinks: Set<DriverSink>;
}

export const lifetimes = { idleTimeoutMs: 1_800_000, maxTtlMs: 14_400_000, drainLimitMs: 600_000 };
export const rules = { intervalMs: 30_000, detachedGraceMs: 300_000 };
export const passEveryMs = 10_000;

export function createSharedWorld(clock: FakeClock): SharedWorld {
  const tell = (what: (sink: DriverSink) => void) => {
    for (const sink of world.sinks) {
      if (world.watchDelayMs === 0) what(sink);
      else clock.after(world.watchDelayMs, () => what(sink));
    }
  };
  const world: SharedWorld = {
    clock,
    drivers: new Map(),
    stops: [],
    leader: undefined,
    watchDelayMs: 0,
    sinks: new Set(),
    put(driver) {
      world.drivers.set(driver.uid, driver);
      tell((sink) => sink.upsert(driver));
    },
    gone(uid, cause) {
      const driver = world.drivers.get(uid);
      if (driver === undefined) return;
      world.drivers.delete(uid);
      const end = { uid, key: driver.key, cause, summary: cause, at: clock.now() };
      tell((sink) => sink.remove(end));
    },
  };
  return world;
}

function createRuntime(world: SharedWorld, name: string): DriverRuntime {
  const leads = () => world.leader === name;
  const phaseOf = (driver: Driver, draining: Draining | undefined) =>
    driver.phase === "ready" || driver.phase === "draining" ? (draining ? "draining" : "ready") : driver.phase;
  return {
    shared: true,
    mayStop: leads,
    isLed: () => world.leader !== undefined,
    handedOver: () => undefined,
    faults: () => [],
    watch: async () => undefined,
    close: async () => undefined,
    start: async () => undefined,
    async stop({ uid }) {
      await Promise.resolve();
      if (!leads()) throw new Error("the term has ended");
      world.stops.push({ by: name, uid });
      world.gone(uid, "stopped");
    },
    async record({ uid }, { activity, base, draining: asked }) {
      await Promise.resolve();
      const driver = world.drivers.get(uid);
      if (driver === undefined) return;
      if (asked !== "keep" && !leads()) throw new Error("the term has ended");
      const draining = asked === "keep" ? driver.draining : asked;
      const recorded = mergeActivity(driver.recorded, base, activity);
      world.put({ ...driver, recorded, draining, phase: phaseOf(driver, draining) });
    },
  };
}

export type Replica = ReturnType<typeof startReplica>;

/** All flows about the use of drivers, as one replica runs them. */
export function startReplica(world: SharedWorld, name: string) {
  const { clock } = world;
  const registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
  const runtime = createRuntime(world, name);
  const idleTimeoutMs = () => lifetimes.idleTimeoutMs;
  const activity = createActivity(rules, clock.now());
  const parts = { registry, runtime, activity, clock, idleTimeoutMs, log: silentLog };
  const writer = createPersistActivity({ ...parts, metrics: noMetrics, maxWritesPerSecond: 50 });
  const recorder = createRecordActivity({ ...parts, writer });
  const usage = createDriverUsage({ ...parts, rules });
  const records: DriverRecord[] = [];
  const audit = {
    /** Called when a record about a driver has been written. */
    written: (_action: string): void => undefined,
    async write(record: AuditRecord) {
      if (record.kind !== "driver") return;
      records.push(record);
      audit.written(record.action);
    },
  };
  const stopRecordingEnds = recordDriverEnds({ ...parts, audit });
  const reaper = createReaper({
    ...parts,
    usage,
    writer,
    audit,
    metrics: noMetrics,
    profiles: () => lifetimes,
    intervalMs: rules.intervalMs,
    passEveryMs,
    pause: settled,
  });
  world.sinks.add(registry.sink);
  for (const driver of world.drivers.values()) registry.sink.upsert(driver);
  registry.sink.synced();
  reaper.start();
  return {
    registry,
    activity,
    writer,
    recorder,
    records,
    audit,
    stopRecordingEnds,
    usage: (uid: string) => usage(uid, clock.now()),
    /** The process is gone: it writes nothing any more. */
    kill() {
      world.sinks.delete(registry.sink);
      reaper.close();
      recorder.close();
      stopRecordingEnds();
    },
  };
}
