import type { Draining, Driver } from "../drivers/driver.ts";
import type { Registry } from "../drivers/registry.ts";
import type { DriverRuntime } from "../drivers/runtime.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Activity, Urgency } from "../sessions/activity.ts";
import { drainingNow, sameDraining } from "./persist-drain.ts";
import { type Entry, newEntry, recordUnavailable } from "./persist-entry.ts";
import { createWriteTurns, maxWritesAtOnce, type WriteTurns } from "./write-turns.ts";

export interface PersistActivityOptions {
  readonly activity: Pick<Activity, "toRecord" | "base" | "written" | "refresh">;
  readonly registry: Pick<Registry, "byUid" | "onChange">;
  readonly runtime: Pick<DriverRuntime, "record" | "shared">;
  readonly clock: Clock;
  readonly log: Log;
  /** The profile's idle timeout: what is not urgent is written at most every quarter of it. */
  readonly idleTimeoutMs: (profile: string) => number;
  readonly metrics: Pick<Metrics, "count">;
  /** Writes of all drivers in a second, but for those that a message or a drain waits for. */
  readonly maxWritesPerSecond: number;
}

/**
 * The only writer of drivers' records in this process. One write at a time for each driver; a failed one is repeated with
 * backoff until it succeeds or the driver is gone. What other replicas record is taken in between two writes. A drain is
 * written only by `setDraining`; every other write leaves it as it is.
 */
export interface ActivityWriter {
  /**
   * Something is new. "before-forwarding" gives a promise for a write that began after this call.
   * @throws GatewayError RECORD_UNAVAILABLE (rejects) when that write fails or takes more than 5 s
   */
  changed(uid: string, urgency: Urgency): Promise<void> | undefined;
  /** Sets or (undefined) ends the drain, at once and durably; for who may stop. @throws GatewayError RECORD_UNAVAILABLE */
  setDraining(uid: string, draining: Draining | undefined): Promise<void>;
  /** The driver's drain: as it was last reported, or as it was written a moment ago and is not reported yet. */
  draining(uid: string): Draining | undefined;
  /** Writes what is not written yet, then writes no more. Resolves when all writes have ended, well or not. */
  close(): Promise<void>;
}

interface State extends PersistActivityOptions {
  readonly entries: Map<string, Entry>;
  readonly turns: WriteTurns;
  closed: boolean;
}

/** How long a use may go unrecorded where nothing about it is urgent, ms. */
export const unrecordedMs = (idleTimeoutMs: number): number => idleTimeoutMs / 4;
/** However many urgent facts there are: a write a second for each driver. "before-forwarding" does not wait. ms */
export const soonGapMs = 1_000;
const waitLimitMs = 5_000;
const maxBackoffMs = 60_000;

export function createPersistActivity(options: PersistActivityOptions): ActivityWriter {
  const turns = createWriteTurns(options.clock, options.maxWritesPerSecond);
  const state: State = { ...options, entries: new Map(), turns, closed: false };
  options.registry.onChange((change) => {
    if (change.kind === "remove") forget(state, change.end.uid);
    else if (change.kind === "upsert" && change.before !== undefined) reported(state, change.driver, change.before);
  });
  return {
    changed(uid, urgency) {
      const entry = entryOf(state, uid);
      if (entry === undefined) return undefined;
      entry.dirty = true;
      if (urgency === "before-forwarding") return written(state, entry);
      // Nearly every call ends here: what is due already is due no later than this would be.
      if (urgency === "later" && entry.next !== undefined) return undefined;
      entry.soon ||= urgency === "soon";
      schedule(state, entry, urgency === "soon" ? soonGapMs : quarter(state, uid));
      return undefined;
    },
    async setDraining(uid, draining) {
      const entry = entryOf(state, uid);
      if (entry === undefined) return;
      const wish = { draining };
      entry.wish = wish;
      entry.dirty = true;
      try {
        await written(state, entry);
      } catch (thrown) {
        // A later write must not carry out what the caller was told has failed.
        if (entry.wish === wish) entry.wish = undefined;
        throw thrown;
      }
    },
    draining: (uid) =>
      drainingNow(state.registry.byUid(uid)?.draining, state.entries.get(uid)?.written, state.clock.now()),
    close: () => close(state),
  };
}

function entryOf(state: State, uid: string): Entry | undefined {
  const known = state.entries.get(uid);
  if (known !== undefined) return known;
  const driver = state.registry.byUid(uid);
  if (driver === undefined) return undefined;
  const entry = newEntry(driver);
  state.entries.set(uid, entry);
  return entry;
}

/** A drain that is reported is newer than what was written. Takes in what another replica recorded; after the write under way, because that changes what is news. */
function reported(state: State, driver: Driver, before: Driver): void {
  const entry = state.entries.get(driver.uid);
  if (!sameDraining(driver.draining, before.draining) && entry !== undefined) entry.written = undefined;
  if (!state.runtime.shared || driver.recorded === before.recorded) return;
  if (entry?.writing !== undefined) entry.refresh = true;
  else refresh(state, driver.uid, driver.recorded);
}

/** Not what was there before our own last write: a newer report is on its way. */
function refresh({ activity }: State, uid: string, recorded: Driver["recorded"]): void {
  const older = (recorded?.recordedAt ?? 0) < (activity.base(uid)?.recordedAt ?? 0);
  if (recorded !== undefined && !older) activity.refresh(uid, recorded);
}

function quarter(state: State, uid: string): number {
  const driver = state.registry.byUid(uid);
  return driver === undefined ? soonGapMs : unrecordedMs(state.idleTimeoutMs(driver.profile));
}

/** Makes sure that a write takes place by `gapMs` after the last one. */
function schedule(state: State, entry: Entry, gapMs: number): void {
  if (state.closed) return;
  const backoff = entry.failures === 0 ? 0 : Math.min(maxBackoffMs, 1_000 * 2 ** (entry.failures - 1));
  const at = entry.lastWrite + Math.max(gapMs, backoff);
  if (entry.next !== undefined && entry.next.at <= at) return;
  entry.next?.cancel();
  const cancel = state.clock.after(Math.max(0, at - state.clock.now()), () => {
    next.cancel = state.turns.take(entry.soon, () => write(state, entry));
  });
  const next = { at, cancel };
  entry.next = next;
}

function written(state: State, entry: Entry): Promise<void> {
  if (state.closed) return Promise.reject(recordUnavailable("this replica is shutting down"));
  return new Promise((resolve, reject) => {
    const stopTimer = state.clock.after(waitLimitMs, () => reject(recordUnavailable("it took too long")));
    entry.waiters.push({
      resolve() {
        stopTimer();
        resolve();
      },
      reject(error) {
        stopTimer();
        reject(error);
      },
    });
    state.turns.passedBy();
    void write(state, entry);
  });
}

/** Writes once the write under way has ended, so that what changed since it began is in a record too. */
async function write(state: State, entry: Entry): Promise<void> {
  while (entry.writing !== undefined) await entry.writing;
  if (!entry.dirty) return;
  entry.writing = attempt(state, entry).finally(() => {
    entry.writing = undefined;
  });
  await entry.writing;
}

async function attempt(state: State, entry: Entry): Promise<void> {
  const driver = state.registry.byUid(entry.uid);
  const known = state.activity.toRecord(entry.uid);
  const waiters = entry.waiters.splice(0);
  const { soon } = entry;
  entry.dirty = false;
  entry.soon = false;
  entry.next?.cancel();
  entry.next = undefined;
  entry.lastWrite = state.clock.now();
  const wish = entry.wish;
  try {
    if (driver === undefined || known === undefined) throw new Error("the driver is gone");
    const activity = { ...known, recordedAt: entry.lastWrite };
    await state.runtime.record(
      { name: driver.name, uid: driver.uid },
      { activity, base: state.activity.base(entry.uid), draining: wish === undefined ? "keep" : wish.draining },
    );
    state.activity.written(entry.uid, activity);
    if (wish !== undefined) {
      const reported = state.registry.byUid(entry.uid)?.draining;
      entry.written = { ...wish, reported, at: state.clock.now() };
      if (entry.wish === wish) entry.wish = undefined;
    }
    entry.failures = 0;
    state.metrics.count("gatehouse_record_writes_total", { outcome: "written" });
    for (const waiter of waiters) waiter.resolve();
  } catch (cause) {
    for (const waiter of waiters) waiter.reject(recordUnavailable("it could not be written", cause));
    if (driver === undefined || state.entries.get(entry.uid) !== entry) return;
    entry.failures += 1;
    entry.dirty = true;
    entry.soon ||= soon;
    state.metrics.count("gatehouse_record_writes_total", { outcome: "failed" });
    state.log.warn("a driver's record could not be written and will be tried again", {
      driver_uid: entry.uid,
      failures: entry.failures,
      error: cause,
    });
    schedule(state, entry, 0);
  } finally {
    if (entry.refresh) refresh(state, entry.uid, state.registry.byUid(entry.uid)?.recorded);
    entry.refresh = false;
  }
}

function forget(state: State, uid: string): void {
  const entry = state.entries.get(uid);
  entry?.next?.cancel();
  state.entries.delete(uid);
}

/** In no turns, because nothing comes after it, but never more at once than at any other time. */
async function close(state: State): Promise<void> {
  state.closed = true;
  state.turns.close();
  const entries = state.entries.values();
  const lane = async () => {
    for (const entry of entries) {
      await write(state, entry).catch(() => undefined);
      entry.next?.cancel();
    }
  };
  await Promise.all(Array.from({ length: maxWritesAtOnce }, lane));
}
