import { randomUUID } from "node:crypto";
import { createRegistry } from "../../src/drivers/registry.ts";
import { createMetrics } from "../../src/edges/http/metrics.ts";
import { createDriverUsage } from "../../src/flows/driver-usage.ts";
import { createPersistActivity } from "../../src/flows/persist-activity.ts";
import { createReaper } from "../../src/flows/reap.ts";
import { createRecordActivity } from "../../src/flows/record-activity.ts";
import { type Clock, systemClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { createActivity } from "../../src/sessions/activity.ts";
import type { ActivityRecord } from "../../src/sessions/activity-record.ts";
import { aDriver, aKey } from "../support/fake-runtime.ts";
import { aCall } from "../support/spark-calls.ts";
import { createSteppedClock } from "./stepped-clock.ts";

/**
 * 10,000 sessions with activity in a process of their own: everything that a pass and a sign of use touch is the product's,
 * but for the runtime, which counts the writes that it is asked for.
 *   tsx reaper-process.ts local|shared
 */
const drivers = 10_000;
const minute = 60_000;
const idleTimeoutMs = 30 * minute;
const lifetimes = { idleTimeoutMs, maxTtlMs: Number.MAX_SAFE_INTEGER, drainLimitMs: 10 * minute };
const rules = { intervalMs: 30_000, detachedGraceMs: 5 * minute };
const shared = process.argv[2] === "shared";

export interface ReaperFigures {
  readonly passMs: number;
  readonly stretchMs: number;
  readonly calledNanos: number;
  readonly streamNanos: number;
  readonly messageNanos: number;
  readonly writesPerMinute: number;
  readonly mostWritesInASecond: number;
}

function world(clock: Clock) {
  const metrics = createMetrics();
  const writes: number[] = [];
  const runtime = {
    shared,
    mayStop: () => true,
    stop: () => Promise.reject(new Error("no driver may end here")),
    async record(): Promise<void> {
      writes.push(clock.now());
    },
  };
  const registry = createRegistry({ clock, log: silentLog, metrics });
  const activity = createActivity(rules, clock.now() - idleTimeoutMs);
  const parts = { activity, registry, runtime, clock, log: silentLog, metrics, idleTimeoutMs: () => idleTimeoutMs };
  const writer = createPersistActivity({ ...parts, maxWritesPerSecond: 50 });
  const recorder = createRecordActivity({ ...parts, writer });
  const reaper = createReaper({
    ...parts,
    writer,
    usage: createDriverUsage({ ...parts, rules }),
    audit: { write: () => Promise.reject(new Error("nothing is to be audited here")) },
    profiles: () => lifetimes,
    intervalMs: rules.intervalMs,
    passEveryMs: 10_000,
    pause: () => new Promise((resolve) => void setImmediate(resolve)),
  });
  const uids = Array.from({ length: drivers }, () => randomUUID());
  for (const [index, uid] of uids.entries()) {
    const recorded = recordOf(clock.now());
    registry.sink.upsert(aDriver({ uid, key: aKey(`app-${index}`), createdAt: clock.now(), recorded }));
  }
  registry.sink.synced();
  return { recorder, reaper, uids, writes };
}

type World = ReturnType<typeof world>;

/** Three detached operations and two Connect sessions, as another replica or an earlier start has recorded them. */
function recordOf(at: number): ActivityRecord {
  const operation = () => ({ operationId: randomUUID(), connectSession: randomUUID(), lastAttached: at });
  return {
    v: 1,
    lastActive: at,
    recordedAt: at,
    streamingQueries: {},
    detached: [operation(), operation(), operation()],
    connectSessions: [randomUUID(), randomUUID()],
  };
}

function stream({ recorder }: World, uid: string, n: number): void {
  recorder.stream({ uid, streamKey: `e/${n}`, decisionId: `d-${n}`, method: "ExecutePlan", kind: "periodic" });
}

/** A pass, and the longest time for which the event loop stood still meanwhile. ms */
async function onePass({ reaper }: World): Promise<{ passMs: number; stretchMs: number }> {
  let stretchMs = 0;
  let last = performance.now();
  let over = false;
  const look = (): void => {
    const now = performance.now();
    stretchMs = Math.max(stretchMs, now - last);
    last = now;
    if (!over) setImmediate(look);
  };
  setImmediate(look);
  const begun = performance.now();
  await reaper.runOnce();
  const passMs = performance.now() - begun;
  await new Promise((resolve) => void setImmediate(resolve));
  over = true;
  return { passMs, stretchMs };
}

/** Processor time of one call among calls on all drivers in turn. ns */
function nanosOf(call: (n: number) => unknown): number {
  const calls = 300_000;
  for (let n = 0; n < calls; n += 1) call(n);
  const before = process.cpuUsage();
  for (let n = 0; n < calls; n += 1) call(n);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1_000) / calls;
}

async function timed(): Promise<Omit<ReaperFigures, "writesPerMinute" | "mostWritesInASecond">> {
  const here = world(systemClock);
  const uid = (n: number) => here.uids[(n * 7_919) % drivers] ?? "";
  for (let n = 0; n < 3 * drivers; n += 1) stream(here, uid(n), n);
  for (let n = 0; n < 5; n += 1) await onePass(here);
  const passes = [];
  for (let n = 0; n < 9; n += 1) passes.push(await onePass(here));
  const call = aCall("ExecutePlan", { reattachable: true });
  // Medians: what else the machine does in the middle of a pass is no stretch of ours.
  const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[4] ?? Number.NaN;
  return {
    passMs: median(passes.map(({ passMs }) => passMs)),
    stretchMs: median(passes.map(({ stretchMs }) => stretchMs)),
    calledNanos: nanosOf((n) => here.recorder.called(uid(n))),
    streamNanos: nanosOf((n) => stream(here, uid(n), n % 4)),
    messageNanos: nanosOf((n) => here.recorder.message(uid(n), `d-${n % 4}`, call)),
  };
}

/** An hour of all sessions in constant use, on a clock that is moved: how often their records are written. */
async function counted(): Promise<Pick<ReaperFigures, "writesPerMinute" | "mostWritesInASecond">> {
  const clock = createSteppedClock(Date.now());
  const here = world(clock);
  const begun = clock.now();
  const stepMs = minute;
  const steps = (60 * minute) / stepMs;
  for (let step = 0; step < steps; step += 1) {
    for (const uid of here.uids) {
      here.recorder.called(uid);
      void here.recorder.message(
        uid,
        "d-1",
        aCall("ExecutePlan", { reattachable: true, operationId: `o-${step % 8}` }),
      );
      void here.recorder.message(
        uid,
        "d-2",
        aCall("ReleaseExecute", { operationId: `o-${step % 8}`, releasesOperation: true }),
      );
      stream(here, uid, 1);
    }
    await clock.advance(stepMs);
  }
  const seconds = new Map<number, number>();
  for (const at of here.writes) {
    const second = Math.floor((at - begun) / 1_000);
    seconds.set(second, (seconds.get(second) ?? 0) + 1);
  }
  return {
    writesPerMinute: here.writes.length / 60,
    mostWritesInASecond: Math.max(...seconds.values()),
  };
}

process.on("disconnect", () => process.exit(0));
process.on("message", () => {
  void (async () => {
    const figures: ReaperFigures = { ...(await timed()), ...(await counted()) };
    process.send?.(figures);
  })();
});
