import type { ActivityRecord } from "../sessions/activity-record.ts";
import type { SessionKey } from "../sessions/session-key.ts";
import type { Draining, Driver, DriverEnd } from "./driver.ts";

/** What a start needs. The same request twice starts one driver. */
export interface StartRequest {
  readonly key: SessionKey;
  readonly owner: string;
  readonly ownerUser: string;
  readonly sharedWithGroups: readonly string[];
  readonly profile: string;
}

/** Names one incarnation: an order about another incarnation of the same name does nothing. */
export interface DriverRef {
  readonly name: string;
  readonly uid: string;
}

/** What is recorded on a driver in one write. */
export interface RecordedState {
  /** What this replica knows now. */
  readonly activity: ActivityRecord;
  /**
   * What `activity` grew from: the difference between the two is what this replica adds to, or takes from, what is there.
   * The runtime keeps no base of its own. Absent: nothing was recorded before, all of `activity` is added.
   */
  readonly base?: ActivityRecord | undefined;
  readonly draining: Draining | "keep" | undefined;
}

/** Where a runtime reports what it sees. Calls come in order for one driver; each carries the whole new value. */
export interface DriverSink {
  upsert(driver: Driver): void;
  remove(end: DriverEnd): void;
  /** Once, when every driver that existed at the start of the watch has been reported. */
  synced(): void;
}

/**
 * Port: starts, watches and stops drivers. Orders go out through it; facts come back only through the watch, so a caller
 * never learns from an order's answer what the world looks like.
 */
export interface DriverRuntime {
  /** Reports existing drivers, then changes, until the signal aborts. Rejects only if watching is impossible at all. */
  watch(sink: DriverSink, signal: AbortSignal): Promise<void>;
  /**
   * Begins a start and returns once the order is placed (not when the driver is ready). A driver of that key that is
   * already there and is not `failed` is left alone; a `failed` one is replaced.
   * @throws GatewayError DRIVER_FAILED (cause in words), DRIVER_LIMIT
   */
  start(request: StartRequest): Promise<void>;
  /** Ends that incarnation. Resolves when it is gone; also when it was gone already or was replaced. */
  stop(ref: DriverRef, why: Draining["reason"]): Promise<void>;
  /**
   * Whether this replica may order stops now: it leads, and what the watch reported is current. Asked before every step
   * of the reaper. Local: always.
   */
  mayStop(): boolean;
  /** Whether some replica, this one or another, is known to lead; it may be gone for as long as a lease lasts. Local: always. */
  isLed(): boolean;
  /**
   * Where this replica leads because another gave that up in order: when that one led, as far as this one knows, ms since the
   * epoch. Undefined where it fell silent. Local: always undefined.
   */
  handedOver(): { readonly from: number; readonly until: number } | undefined;
  /**
   * What an operator should know, a line each: why facts may be out of date, what cannot be read, that no replica is known
   * to lead. Empty when all is well; decisions go on from the last catalog in any case.
   */
  faults(): readonly string[];
  /**
   * Whether other replicas record on the same drivers: then `Driver.recorded` holds what only they saw, and a later value
   * of it is news about the driver's use. Local: false.
   */
  readonly shared: boolean;
  /**
   * Records on the driver itself what must survive a restart of Gatehouse. Where `shared`, what other replicas recorded
   * is kept: `base`, `activity` and what is there are merged (`sessions/activity-merge.ts`) in each attempt anew.
   *
   * `draining: "keep"` leaves the drain as it is on the driver when the write takes place; it is never part of what is
   * written. So whoever records activity, any replica, cannot take back a drain that it has not seen yet. A value sets the
   * drain and undefined ends it, whatever is there: only a replica that `mayStop` asks for that, and the order rejects,
   * with nothing written, where its term has ended before the write. Resolves when written; also when the driver is gone.
   * @throws Error when it could not be written, or when that is not known
   */
  record(ref: DriverRef, state: RecordedState): Promise<void>;
  /** Lets go of watches and timers; drivers keep running unless the runtime is configured to end them. */
  close(): Promise<void>;
}
