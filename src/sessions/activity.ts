import { methodOfName } from "../spark/methods.ts";
import type { SparkCall } from "../spark/spark-call.ts";
import {
  attach,
  callAlive,
  callEnded,
  noteCall,
  release,
  releaseSession,
  stillAttached,
} from "./activity-operations.ts";
import type { ActivityRecord } from "./activity-record.ts";
import { refreshFrom } from "./activity-refresh.ts";
import { type Restored, recordOf, restoreInto } from "./activity-restore.ts";
import { type ActivityState, activityLimits, emptyActivity } from "./activity-state.ts";
import { startQuery, stopQuery } from "./activity-streaming.ts";
import { type IdlenessRules, proofMs, type Usage, usage } from "./idleness.ts";

/**
 * How soon a fact must be on the driver's record: before the message that brought it is forwarded, without delay but
 * without waiting, or with the next regular write.
 */
export type Urgency = "before-forwarding" | "soon" | "later";

/** One access-log entry about a call that was let through. */
export interface StreamReport {
  readonly uid: string;
  /** Unique for the call among all Envoys. */
  readonly streamKey: string;
  readonly decisionId: string;
  /** The method's short name. */
  readonly method: string;
  readonly kind: "start" | "periodic" | "end";
  /** ms since the epoch, by our clock */
  readonly at: number;
}

/**
 * What is known of the use of all drivers. Times are passed in, in ms since the epoch. Signs of drivers that are not
 * tracked are dropped: a late entry must not bring back one that is gone.
 */
export interface Activity {
  /** Begins with a driver; `since` stands for its last use until there is one. Does nothing where it is tracked. */
  track(uid: string, since: number): void;
  /**
   * Takes over what was recorded before we started, at time `at`. Recorded operations count as attached until `at`:
   * their clients may have been attached while nobody looked. For the same reason the driver counts as used for as long
   * as a use may have gone unrecorded.
   */
  restore(uid: string, record: ActivityRecord, restored: Restored): void;
  /** Takes in a later record, with what other replicas wrote since the base. Never while a write of ours is under way. */
  refresh(uid: string, record: ActivityRecord): void;
  forget(uid: string): void;
  /** A call was let through to it. */
  called(uid: string, at: number): void;
  /** The first message of a call, before it is forwarded. */
  message(uid: string, decisionId: string, call: SparkCall, at: number): Urgency;
  /** The message that brought this call (the same object) is not forwarded after all: what it would end runs on. */
  messageRefused(call: SparkCall): void;
  stream(report: StreamReport): void;
  /** Somebody asked for it to be kept. */
  keepalive(uid: string, at: number): void;
  /** Reports of streams may have been lost until now: nothing is idle until two intervals have passed. */
  accessLogGap(at: number): void;
  /** @returns undefined for a driver that is not tracked */
  usage(uid: string, now: number): Usage | undefined;
  /** The durable form; undefined for a driver that is not tracked. */
  toRecord(uid: string): ActivityRecord | undefined;
  /** The record that what is known grew from: what was restored, refreshed or written last. */
  base(uid: string): ActivityRecord | undefined;
  /** This one, which `toRecord` gave out, is written: it is the base now. */
  written(uid: string, record: ActivityRecord): void;
  /** That driver's streams that are proved alive; 0 for one that is not tracked. */
  liveStreams(uid: string, now: number): number;
}

interface State {
  readonly rules: IdlenessRules;
  readonly drivers: Map<string, ActivityState>;
  /** How to take back what a message started or ended. */
  readonly undo: WeakMap<SparkCall, () => void>;
  gapAt: number;
}

/** @param startedAt the time of our own start: a gap in what we know */
export function createActivity(rules: IdlenessRules, startedAt: number): Activity {
  const state: State = { rules, drivers: new Map(), undo: new WeakMap(), gapAt: startedAt };
  const touch = (uid: string, at: number) => touched(state.drivers.get(uid), at);
  return {
    track(uid, since) {
      if (!state.drivers.has(uid)) state.drivers.set(uid, emptyActivity(since));
    },
    restore(uid, record, restored) {
      const driver = state.drivers.get(uid) ?? emptyActivity(record.lastActive);
      state.drivers.set(uid, driver);
      restoreInto(driver, record, restored);
    },
    refresh(uid, record) {
      const driver = state.drivers.get(uid);
      if (driver !== undefined) refreshFrom(driver, record);
    },
    forget: (uid) => void state.drivers.delete(uid),
    called: (uid, at) => void touch(uid, at),
    keepalive: (uid, at) => void touch(uid, at),
    message(uid, decisionId, call, at) {
      const driver = touch(uid, at);
      return driver === undefined ? "later" : message(state, driver, { decisionId, call, at });
    },
    messageRefused: (call) => takeBack(state, call),
    stream(report) {
      const driver = touch(report.uid, report.at);
      if (driver !== undefined) stream(driver, report, state.rules);
    },
    accessLogGap(at) {
      state.gapAt = Math.max(state.gapAt, at);
    },
    usage(uid, now) {
      const driver = state.drivers.get(uid);
      return driver && usage(driver, state.gapAt, now, state.rules);
    },
    toRecord(uid) {
      const driver = state.drivers.get(uid);
      return driver && recordOf(driver);
    },
    base: (uid) => state.drivers.get(uid)?.base,
    written(uid, record) {
      const driver = state.drivers.get(uid);
      if (driver !== undefined) driver.base = record;
    },
    liveStreams: (uid, now) => liveStreams(state.drivers.get(uid), now, state.rules),
  };
}

function touched(driver: ActivityState | undefined, at: number): ActivityState | undefined {
  if (driver !== undefined) driver.lastActive = Math.max(driver.lastActive, at);
  return driver;
}

interface Message {
  readonly decisionId: string;
  readonly call: SparkCall;
  readonly at: number;
}

function takeBack(state: State, call: SparkCall): void {
  state.undo.get(call)?.();
  state.undo.delete(call);
}

function message(state: State, driver: ActivityState, { decisionId, call, at }: Message): Urgency {
  const session = call.connectSession ?? "";
  const fresh = [call.connectSession, call.newConnectSession].filter((one) => one !== undefined && see(driver, one));
  let urgency: Urgency = fresh.length > 0 ? "soon" : "later";
  switch (call.method) {
    case "ExecutePlan":
    case "ReattachExecute": {
      const leaves = call.method === "ReattachExecute" || call.reattachable;
      noteCall(driver, decisionId, leaves ? attach(driver, call, at, state.rules) : undefined);
      if (leaves && !driver.recordedOperations) urgency = "soon";
      break;
    }
    case "ReleaseExecute":
      if (call.releasesOperation) state.undo.set(call, release(driver, call.operationId));
      else stillAttached(driver, call.operationId, at);
      break;
    case "ReleaseSession":
      if (driver.streamingQueries.has(session)) urgency = "soon";
      state.undo.set(call, releaseSession(driver, session));
      break;
    default:
  }
  if (call.streamingQuery === "stop") {
    const undo = stopQuery(driver, session, call.streamingQueryId);
    if (undo === undefined) return urgency;
    state.undo.set(call, undo);
    return "soon";
  }
  if (call.streamingQuery !== "start") return urgency;
  state.undo.set(call, startQuery(driver, session));
  return "before-forwarding";
}

/** Whether the Connect session is new on this driver. */
function see(driver: ActivityState, connectSession: string): boolean {
  const known = driver.connectSessions.delete(connectSession);
  driver.connectSessions.add(connectSession);
  for (const oldest of driver.connectSessions) {
    if (driver.connectSessions.size <= activityLimits.connectSessions) break;
    driver.connectSessions.delete(oldest);
  }
  return !known;
}

function stream(driver: ActivityState, report: StreamReport, rules: IdlenessRules): void {
  const { streamKey, decisionId, method, at } = report;
  const executes = methodOfName(method)?.executes ?? false;
  if (report.kind === "end") {
    driver.streams.delete(streamKey);
    callEnded(driver, decisionId, { at, executes });
    return;
  }
  callAlive(driver, decisionId, { at, executes });
  const seen = Math.max(at, driver.streams.get(streamKey) ?? 0);
  if (driver.streams.has(streamKey) || hasRoom(driver, at, rules)) driver.streams.set(streamKey, seen);
  else driver.unlistedStream = Math.max(driver.unlistedStream, at);
}

/** Streams whose end was never reported give way to those that are reported. */
function hasRoom(driver: ActivityState, now: number, rules: IdlenessRules): boolean {
  if (driver.streams.size < activityLimits.streams) return true;
  for (const [key, seen] of driver.streams) if (now - seen >= proofMs(rules)) driver.streams.delete(key);
  return driver.streams.size < activityLimits.streams;
}

function liveStreams(driver: ActivityState | undefined, now: number, rules: IdlenessRules): number {
  if (driver === undefined) return 0;
  let live = 0;
  for (const seen of driver.streams.values()) if (now - seen < proofMs(rules)) live += 1;
  return live;
}
