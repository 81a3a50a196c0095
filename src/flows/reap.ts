import type { AuditSink } from "../decisions/audit.ts";
import { isRoutable } from "../drivers/catalog.ts";
import type { Draining, Driver } from "../drivers/driver.ts";
import { type LifetimeStep, type Lifetimes, lifetimeStep } from "../drivers/lifetime.ts";
import type { Registry } from "../drivers/registry.ts";
import type { DriverRuntime } from "../drivers/runtime.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Activity } from "../sessions/activity.ts";
import { proofMs, type Usage } from "../sessions/idleness.ts";
import type { ActivityWriter } from "./persist-activity.ts";
import { beginDrain, endDrain, endDriver } from "./reap-steps.ts";

export interface ReaperOptions {
  readonly registry: Registry;
  readonly runtime: Pick<DriverRuntime, "stop" | "mayStop" | "shared">;
  readonly activity: Pick<Activity, "accessLogGap" | "liveStreams">;
  /** All that is known of a driver's use, by this replica and by others; undefined for one that is not tracked. */
  readonly usage: (uid: string, now: number) => Usage | undefined;
  readonly writer: Pick<ActivityWriter, "setDraining" | "draining">;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** @throws for a profile that is not configured: its drivers are left alone and the log says so */
  readonly profiles: (name: string) => Lifetimes;
  /** How often live streams are reported, ms. */
  readonly intervalMs: number;
  readonly passEveryMs: number;
  /** Resolves once whatever else is due, decisions above all, has had its turn. */
  readonly pause: () => Promise<void>;
}

/**
 * Ends drivers that nobody uses or that are too old. Level-based: each pass looks at the world as it is. Where the runtime
 * says that this replica may not stop drivers, a pass only measures.
 */
export interface Reaper {
  /** Begins the passes. */
  start(): void;
  /** One pass. Resolves when what it began has ended; a driver's fault is logged and stops nothing else. */
  runOnce(): Promise<void>;
  /**
   * Ends that driver now, in use or not. Resolves when it is gone; also when it was gone already.
   * @throws GatewayError AUDIT_UNAVAILABLE, NOT_READY where this replica may not stop drivers, or what the runtime throws;
   *   the driver then serves on
   */
  stopDriver(uid: string, reason: Draining["reason"], decisionId?: string): Promise<void>;
  /** Begins nothing more. What is under way goes on. */
  close(): void;
}

interface State extends ReaperOptions {
  /** What is being done about drivers now, by uid: one thing at a time for each. */
  readonly underWay: Map<string, Promise<void>>;
  /** Drivers whose last step failed: how often in a row, and when the next try is due. */
  readonly failures: Map<string, { readonly count: number; readonly until: number }>;
  lastPass: number;
  /** Whether this replica might stop drivers when that was last asked. */
  mayStop: boolean;
  cancelNext: () => void;
  closed: boolean;
}

const maxBackoffMs = 300_000;

/** Things done at once: many drivers that fall idle together must not flood the runtime. */
const maxUnderWay = 32;

/** Drivers judged without a pause: about a millisecond, and so is what a decision may have to wait. */
const atAStretch = 125;

export function createReaper(options: ReaperOptions): Reaper {
  const state: State = {
    ...options,
    underWay: new Map(),
    failures: new Map(),
    lastPass: options.clock.now(),
    mayStop: options.runtime.mayStop(),
    cancelNext: () => undefined,
    closed: false,
  };
  const next = () => {
    state.cancelNext = options.clock.after(options.passEveryMs, () => {
      next();
      void pass(state);
    });
  };
  return {
    start: next,
    runOnce: () => pass(state),
    stopDriver: (uid, reason, decisionId) => stopDriver(state, uid, reason, decisionId),
    close() {
      state.closed = true;
      state.cancelNext();
    },
  };
}

async function pass(state: State): Promise<void> {
  let moment = look(state);
  const { registry, failures } = state;
  if (!registry.synced) return;
  for (const uid of failures.keys()) if (registry.byUid(uid) === undefined) failures.delete(uid);
  const counts = { active: 0, streams: 0 };
  const begun: Promise<void>[] = [];
  let judged = 0;
  for (const { uid } of registry.all()) {
    if (judged > 0 && judged % atAStretch === 0) {
      await state.pause();
      if (state.closed) break;
      moment = look(state);
    }
    judged += 1;
    // Not the one that was listed: it may have changed, or gone, during a pause.
    const driver = registry.byUid(uid);
    const work = driver && judge(state, driver, moment, counts);
    if (work !== undefined) begun.push(work);
  }
  state.metrics.set("gatehouse_sessions_active", {}, counts.active);
  state.metrics.set("gatehouse_streams", {}, counts.streams);
  await Promise.all(begun);
}

/** What holds for all that is judged until the next pause. */
interface Moment {
  readonly now: number;
  readonly mayStop: boolean;
}

/** After each pause anew: the machine may have slept through it, and the lead may have changed hands. */
function look(state: State): Moment {
  const now = state.clock.now();
  noticePause(state, now);
  return { now, mayStop: noticeTurn(state, now) };
}

function judge(
  state: State,
  driver: Driver,
  { now, mayStop }: Moment,
  counts: { active: number; streams: number },
): Promise<void> | undefined {
  if (!isRoutable(driver)) return undefined;
  try {
    const usage = state.usage(driver.uid, now);
    const lifetimes = state.profiles(driver.profile);
    if (usage === undefined) return undefined;
    counts.streams += state.activity.liveStreams(driver.uid, now);
    if (usage.busy.length > 0 || now - usage.lastActive < lifetimes.idleTimeoutMs) counts.active += 1;
    return mayStop ? begin(state, driver, usage, lifetimes) : undefined;
  } catch (error) {
    state.log.error("a driver could not be judged and is left alone", { driver_uid: driver.uid, error });
    return undefined;
  }
}

/** When we did not run (the machine slept, the process was stopped), entries were not received either: a gap. */
function noticePause(state: State, now: number): void {
  if (now - state.lastPass > Math.max(3 * state.passEveryMs, proofMs(state))) state.activity.accessLogGap(now);
  state.lastPass = now;
}

/**
 * Whether this replica may stop drivers. Where it might not before (it leads now, or its watch is back), what happened
 * meanwhile may have passed it by: a gap.
 */
function noticeTurn(state: State, now: number): boolean {
  const { runtime, activity, failures, log } = state;
  const before = state.mayStop;
  state.mayStop = runtime.mayStop();
  if (state.mayStop && !before) activity.accessLogGap(now);
  if (state.mayStop === before) return before;
  failures.clear();
  log.debug(state.mayStop ? "this replica ends drivers from now on" : "this replica ends no drivers for now");
  return state.mayStop;
}

/** Begins what is due. From the judgement to the mark on the registry there is no await: no call can slip in between. */
function begin(state: State, driver: Driver, usage: Usage, lifetimes: Lifetimes): Promise<void> | undefined {
  const { registry, writer, clock } = state;
  if (state.underWay.has(driver.uid) || registry.isEnding(driver.uid) || state.underWay.size >= maxUnderWay) return;
  const now = clock.now();
  if ((state.failures.get(driver.uid)?.until ?? 0) > now) return undefined;
  const draining = writer.draining(driver.uid);
  const due = lifetimeStep({ createdAt: driver.createdAt, draining, usage, now }, lifetimes, proofMs(state));
  if (due === undefined) return undefined;
  return tracked(state, driver.uid, act(state, driver, due)).then(
    () => void state.failures.delete(driver.uid),
    (error: unknown) => failed(state, driver, due, error),
  );
}

/** Not at every pass: each try is audited, and what fails now will likely fail in a moment. */
function failed(state: State, driver: Driver, due: LifetimeStep, error: unknown): void {
  if (!state.runtime.mayStop()) {
    state.log.debug("a driver's end is left to another replica", { driver_uid: driver.uid, step: due.step, error });
    return;
  }
  const count = (state.failures.get(driver.uid)?.count ?? 0) + 1;
  const waitMs = Math.min(maxBackoffMs, state.passEveryMs * 2 ** count);
  state.failures.set(driver.uid, { count, until: state.clock.now() + waitMs });
  state.log.error("a driver's end did not go as it should and will be tried again", {
    driver_uid: driver.uid,
    step: due.step,
    failures: count,
    error,
  });
}

function act(state: State, driver: Driver, due: LifetimeStep): Promise<void> {
  switch (due.step) {
    case "drain":
      return beginDrain(state, driver, due.reason);
    case "undrain":
      return endDrain(state, driver);
    case "stop":
      return endDriver(state, driver, due.reason);
  }
}

function tracked(state: State, uid: string, work: Promise<void>): Promise<void> {
  const done = work.finally(() => state.underWay.delete(uid));
  state.underWay.set(uid, done);
  return done;
}

async function stopDriver(
  state: State,
  uid: string,
  reason: Draining["reason"],
  decisionId: string | undefined,
): Promise<void> {
  for (let before = state.underWay.get(uid); before !== undefined; before = state.underWay.get(uid)) {
    await before.catch(() => undefined);
  }
  const driver = state.registry.byUid(uid);
  if (driver !== undefined) await tracked(state, uid, endDriver(state, driver, reason, decisionId));
}
