import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { type SessionKey, sessionKeyId } from "../sessions/session-key.ts";
import { buildCatalog, type Catalog, isRoutable } from "./catalog.ts";
import type { Driver, DriverEnd } from "./driver.ts";
import { createPhaseMeter, type PhaseMeter } from "./phase-meter.ts";
import { createDriverEnds, type DriverEnds } from "./registry-ends.ts";
import { createDriverWaiters, type DriverWaiters } from "./registry-waiters.ts";
import type { DriverSink } from "./runtime.ts";
import { sameButRecorded, sameDriver } from "./same-driver.ts";

/** What listeners are told, after the registry's own state has changed. */
export type RegistryChange =
  | { readonly kind: "upsert"; readonly driver: Driver; readonly before: Driver | undefined; readonly routes: boolean }
  | { readonly kind: "remove"; readonly end: DriverEnd; readonly before: Driver | undefined; readonly routes: boolean }
  | { readonly kind: "synced" };

/** The drivers as known now. Only a runtime's watch changes it, through `sink`; reading it never waits. */
export interface Registry {
  readonly sink: DriverSink;
  /** Whether the first list is complete. Until then an unknown driver may exist all the same. */
  readonly synced: boolean;
  /** The driver that serves this key: the newest by `createdAt` while one replaces another; never one that is ending. */
  byKey(key: SessionKey): Driver | undefined;
  byUid(uid: string): Driver | undefined;
  all(): readonly Driver[];
  catalog(): Catalog;
  /** `routes` in a change says whether the catalog has a new generation. Returns the function that ends it. */
  onChange(listener: (change: RegistryChange) => void): () => void;
  /**
   * Resolves with the key's driver once it is routable (ready or draining).
   * @param ignoring uid of a failed driver of this key that is being replaced
   * @throws GatewayError DRIVER_FAILED (cause in plain words, at most 2 KiB) as soon as it failed or is gone;
   *   REQUEST_CANCELLED when the signal aborts
   */
  waitFor(key: SessionKey, signal: AbortSignal, ignoring?: string): Promise<Driver>;
  /** The remembered ends of that key's drivers, newest last. */
  endsOf(key: SessionKey): readonly DriverEnd[];
  /** A Connect session was seen on that driver. The newest 64 of a driver are kept. */
  noteConnectSession(uid: string, connectSession: string): void;
  /** The uid of the driver of that key, present or remembered, on which this Connect session was last seen. */
  connectSessionDriver(key: SessionKey, connectSession: string): string | undefined;
  /**
   * A stop of this driver is about to be ordered: from this very moment nobody new is sent there, although it still
   * listens. Without this a call that is decided while the order is on its way would be lost.
   */
  markEnding(uid: string): void;
  /** The order failed: the driver serves on. Listeners get an upsert with the same driver. */
  unmarkEnding(uid: string): void;
  isEnding(uid: string): boolean;
  /** The driver of that key whose stop is ordered and that is not gone yet. */
  endingOf(key: SessionKey): Driver | undefined;
}

export interface RegistryOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Keys whose ended drivers are remembered. Default 1,000. */
  readonly maxEnds?: number;
}

interface State extends Pick<RegistryOptions, "log" | "metrics"> {
  readonly drivers: Map<string, Driver>;
  /** Uids of one key, newest driver first. */
  readonly uids: Map<string, readonly string[]>;
  readonly connectSessions: Map<string, Set<string>>;
  readonly ending: Set<string>;
  readonly ends: DriverEnds;
  readonly waiters: DriverWaiters;
  readonly listeners: Set<(change: RegistryChange) => void>;
  readonly measure: PhaseMeter;
  generation: number;
  catalog: Catalog;
  synced: boolean;
}

const maxConnectSessions = 64;

export function createRegistry(options: RegistryOptions): Registry {
  const state = emptyState(options);
  const currentOf = (key: SessionKey) => current(state, key);
  return {
    sink: {
      upsert: (driver) => upsert(state, driver),
      remove: (end) => remove(state, end),
      synced: () => listComplete(state),
    },
    get synced() {
      return state.synced;
    },
    byKey: currentOf,
    byUid: (uid) => state.drivers.get(uid),
    all: () => [...state.drivers.values()],
    catalog() {
      if (state.catalog.generation !== state.generation) {
        state.catalog = buildCatalog(state.generation, state.drivers.values());
      }
      return state.catalog;
    },
    onChange(listener) {
      state.listeners.add(listener);
      return () => void state.listeners.delete(listener);
    },
    waitFor: (key, signal, ignoring) => state.waiters.wait(key, currentOf(key), { signal, ignoring }),
    endsOf: (key) => state.ends.of(key),
    noteConnectSession: (uid, connectSession) => noteConnectSession(state, uid, connectSession),
    connectSessionDriver(key, connectSession) {
      const present = state.uids.get(sessionKeyId(key)) ?? [];
      const owner = present.find((uid) => state.connectSessions.get(uid)?.has(connectSession) === true);
      return owner ?? state.ends.withConnectSession(key, connectSession);
    },
    markEnding(uid) {
      if (state.drivers.has(uid)) state.ending.add(uid);
    },
    unmarkEnding: (uid) => unmarkEnding(state, uid),
    isEnding: (uid) => state.ending.has(uid),
    endingOf: (key) => first(state, key, (uid) => state.ending.has(uid)),
  };
}

function emptyState(options: RegistryOptions): State {
  return {
    log: options.log,
    metrics: options.metrics,
    drivers: new Map(),
    uids: new Map(),
    connectSessions: new Map(),
    ending: new Set(),
    ends: createDriverEnds(options.maxEnds ?? 1_000),
    waiters: createDriverWaiters(),
    listeners: new Set(),
    measure: createPhaseMeter(options),
    generation: 0,
    catalog: buildCatalog(0, []),
    synced: false,
  };
}

function first(state: State, key: SessionKey, matches: (uid: string) => boolean): Driver | undefined {
  const uid = state.uids.get(sessionKeyId(key))?.find(matches);
  return uid === undefined ? undefined : state.drivers.get(uid);
}

function current(state: State, key: SessionKey): Driver | undefined {
  return first(state, key, (uid) => !state.ending.has(uid));
}

function unmarkEnding(state: State, uid: string): void {
  const driver = state.drivers.get(uid);
  if (!state.ending.delete(uid) || driver === undefined) return;
  emit(state, { kind: "upsert", driver, before: driver, routes: false });
}

function upsert(state: State, driver: Driver): void {
  const before = state.drivers.get(driver.uid);
  if (before !== undefined && sameDriver(before, driver)) return;
  state.drivers.set(driver.uid, driver);
  if (before === undefined) addUid(state, driver);
  // Also later ones: another replica may be the only one that saw them.
  for (const connectSession of driver.recorded?.connectSessions ?? []) {
    if (before?.recorded?.connectSessions.includes(connectSession) === true) continue;
    if (state.connectSessions.get(driver.uid)?.has(connectSession) !== true)
      noteConnectSession(state, driver.uid, connectSession);
  }
  state.measure(before, driver);
  const concernsRoutes = isRoutable(driver) || (before !== undefined && isRoutable(before));
  const routes = concernsRoutes && (before === undefined || !sameButRecorded(before, driver));
  if (routes) state.generation += 1;
  emit(state, { kind: "upsert", driver, before, routes });
  const newest = current(state, driver.key);
  if (newest !== undefined) state.waiters.changed(driver.key, newest);
}

function remove(state: State, end: DriverEnd): void {
  const before = state.drivers.get(end.uid);
  const isNews = before !== undefined || !state.ends.of(end.key).some(({ uid }) => uid === end.uid);
  state.ends.remember(end, [...(end.connectSessions ?? []), ...(state.connectSessions.get(end.uid) ?? [])]);
  if (isNews) state.metrics.count("gatehouse_driver_ends_total", { cause: end.cause });
  if (before === undefined) {
    // It ended while nobody watched.
    if (isNews) emit(state, { kind: "remove", end, before, routes: false });
    return;
  }
  state.drivers.delete(end.uid);
  state.connectSessions.delete(end.uid);
  state.ending.delete(end.uid);
  const id = sessionKeyId(before.key);
  const left = (state.uids.get(id) ?? []).filter((uid) => uid !== end.uid);
  if (left.length > 0) state.uids.set(id, left);
  else state.uids.delete(id);
  state.measure(before, undefined);
  const routes = isRoutable(before);
  if (routes) state.generation += 1;
  emit(state, { kind: "remove", end, before, routes });
  state.waiters.removed(end, current(state, end.key));
}

function listComplete(state: State): void {
  if (state.synced) return;
  state.synced = true;
  emit(state, { kind: "synced" });
}

function addUid(state: State, driver: Driver): void {
  const id = sessionKeyId(driver.key);
  const createdAt = (uid: string) => state.drivers.get(uid)?.createdAt ?? 0;
  const uids = [...(state.uids.get(id) ?? []), driver.uid];
  // At equal times the greater uid wins: any replica must pick the same one.
  uids.sort((a, b) => createdAt(b) - createdAt(a) || (a < b ? 1 : -1));
  state.uids.set(id, uids);
}

function noteConnectSession(state: State, uid: string, connectSession: string): void {
  if (!state.drivers.has(uid)) return;
  const seen = state.connectSessions.get(uid) ?? new Set();
  seen.delete(connectSession);
  state.connectSessions.set(uid, seen.add(connectSession));
  for (const oldest of seen) {
    if (seen.size <= maxConnectSessions) break;
    seen.delete(oldest);
  }
}

/** One listener's fault must not keep the others, or the registry, from seeing the change. */
function emit(state: State, change: RegistryChange): void {
  for (const listener of state.listeners) {
    try {
      listener(change);
    } catch (error) {
      state.log.error("a listener to driver changes failed", { error });
    }
  }
}
