import { isRoutable } from "../drivers/catalog.ts";
import type { Registry, RegistryChange } from "../drivers/registry.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import { buildSnapshot, certificateResources } from "../snapshots/build.ts";
import { createDriverOffers, type DriverOffers } from "../snapshots/changes.ts";
import { checkConsistency } from "../snapshots/consistency.ts";
import type { ServerCertificate, SnapshotSettings } from "../snapshots/settings.ts";
import type { ResourceCache } from "../xds/resource-cache.ts";
import { createSkippedReport, type SkippedReport } from "./publish-skipped.ts";

export interface PublisherOptions {
  readonly registry: Pick<Registry, "catalog" | "byUid" | "onChange" | "synced">;
  readonly cache: ResourceCache;
  readonly settings: SnapshotSettings;
  readonly certificate: ServerCertificate;
  readonly clock: Clock;
  readonly log: Log;
  /** A change is published at once where none came for this long before it; otherwise it is published once none comes for this long, in milliseconds. Default 100. */
  readonly debounceMs?: number;
  /** The longest that changes are collected, in milliseconds. Default 1,000. */
  readonly ceilingMs?: number;
  /** Whether a client's call waits for a driver now: then a change is published at once. Default: never. */
  readonly awaited?: () => boolean;
  /** Runs the task of the next turn, after one that took so long (ms); returns what cancels it. Default: by the clock, at once. */
  readonly nextTurn?: (tookMs: number, task: () => void) => () => void;
}

/** Keeps what Envoy is given equal to what is known of the drivers. */
export interface Publisher {
  /** Whether the first snapshot is complete. Until then Envoy is told nothing. */
  readonly ready: boolean;
  /** Publishes changes that are being collected now: somebody waits for one. */
  publishNow(): void;
  /** From now on the listener shows this certificate; connections that are open stay. */
  setCertificate(certificate: ServerCertificate): void;
  close(): void;
}

/** Drivers that are published in one turn: about a millisecond of work, so that decisions go on in between. */
const driversPerTurn = 64;

interface State {
  readonly options: PublisherOptions;
  readonly offers: DriverOffers;
  readonly skipped: SkippedReport;
  certificate: ServerCertificate;
  ready: boolean;
  /** Only a snapshot of everything will do: there was none, or a change could not be taken over. */
  whole: boolean;
  /** Uids of drivers that can be routed to no more, and are still offered. */
  readonly gone: Set<string>;
  /** Uids of drivers that changed otherwise. */
  readonly changed: Set<string>;
  /** When the oldest change that is not published came, ms. */
  changedAt: number | undefined;
  /** When the latest change came, ms. */
  latestAt: number;
  /** It was quiet before a change that is not published. */
  afterQuiet: boolean;
  /** More was due than one turn takes. */
  unfinished: boolean;
  cancelTimer: () => void;
  /** Present from a publication until the next turn. */
  cancelTurn: (() => void) | undefined;
}

export function createPublisher(options: PublisherOptions): Publisher {
  const state: State = {
    options,
    offers: createDriverOffers(options.settings),
    skipped: createSkippedReport(options.log),
    certificate: options.certificate,
    ready: false,
    whole: true,
    gone: new Set(),
    changed: new Set(),
    changedAt: undefined,
    latestAt: Number.NEGATIVE_INFINITY,
    afterQuiet: false,
    unfinished: false,
    cancelTimer: () => undefined,
    cancelTurn: undefined,
  };
  const unlisten = options.registry.onChange((change) => {
    if (change.kind === "synced") publish(state);
    else if (state.ready && change.routes) noteChange(state, change);
  });
  publish(state);
  return {
    get ready() {
      return state.ready;
    },
    publishNow() {
      if (state.changedAt !== undefined) publish(state);
    },
    setCertificate(certificate) {
      state.certificate = certificate;
      if (state.whole) publish(state);
      else takeOver(state, () => void options.cache.apply(certificateResources(certificate)));
    },
    close() {
      unlisten();
      state.cancelTimer();
      state.cancelTurn?.();
    },
  };
}

function noteChange(state: State, change: Exclude<RegistryChange, { kind: "synced" }>): void {
  const stays = change.kind === "upsert" && isRoutable(change.driver);
  const uid = change.kind === "upsert" ? change.driver.uid : change.end.uid;
  (stays ? state.gone : state.changed).delete(uid);
  (stays ? state.changed : state.gone).add(uid);
  const now = state.options.clock.now();
  if (now - state.latestAt >= (state.options.debounceMs ?? 100)) state.afterQuiet = true;
  state.latestAt = now;
  state.changedAt ??= now;
  // What comes in the same turn as a publication is looked at together in the next one.
  if (state.cancelTurn === undefined) publishOrCollect(state);
}

function publishOrCollect(state: State): void {
  const { clock, debounceMs = 100, ceilingMs = 1_000, awaited } = state.options;
  const now = clock.now();
  state.cancelTimer();
  const due =
    state.unfinished ||
    // Its address may be somebody else's at once.
    state.gone.size > 0 ||
    // Waiting would make no fewer responses of these.
    state.changed.size >= driversPerTurn ||
    state.afterQuiet ||
    awaited?.() === true;
  if (due) return publish(state);
  const quiet = Math.min(debounceMs, Math.max(0, (state.changedAt ?? now) + ceilingMs - now));
  state.cancelTimer = clock.after(quiet, () => publish(state));
}

/** Publishes what one turn takes; the rest follows in the next turns. */
function publish(state: State): void {
  const { registry, clock, nextTurn } = state.options;
  if (!registry.synced) return;
  const begun = performance.now();
  state.cancelTimer();
  state.cancelTurn?.();
  state.afterQuiet = false;
  if (state.whole) publishWhole(state);
  // Alone, before all others: nothing of them is encoded, so nothing can keep them from going.
  else if (state.gone.size > 0) publishSome(state, state.gone);
  else publishSome(state, state.changed);
  state.unfinished = state.gone.size + state.changed.size > 0;
  if (!state.unfinished) state.changedAt = undefined;
  const later = nextTurn ?? ((_tookMs, task) => clock.after(0, task));
  // Single changes do not wait for one another.
  state.cancelTurn = later(state.unfinished ? performance.now() - begun : 0, () => {
    state.cancelTurn = undefined;
    if (state.changedAt !== undefined) publishOrCollect(state);
  });
}

/** A snapshot that cannot be built or is not consistent is not published: Envoy goes on with what it has. */
function publishWhole(state: State): void {
  const { registry, cache, settings, log } = state.options;
  state.gone.clear();
  state.changed.clear();
  takeOver(state, () => {
    const catalog = registry.catalog();
    const snapshot = buildSnapshot(catalog, settings, state.certificate);
    state.skipped.all(snapshot.skipped);
    const faults = checkConsistency(snapshot);
    if (faults.length > 0) {
      log.error("a snapshot was not published: it is not consistent", { faults: faults.slice(0, 20) });
      return;
    }
    cache.replace(snapshot.resources);
    state.offers.reset(catalog.drivers);
    state.whole = false;
    state.ready = true;
  });
}

function publishSome(state: State, uids: Set<string>): void {
  const { registry, cache } = state.options;
  const taken: string[] = [];
  for (const uid of uids) {
    if (taken.length >= driversPerTurn) break;
    taken.push(uid);
    uids.delete(uid);
  }
  takeOver(state, () => {
    const { resources, skipped } = state.offers.change(taken, (uid) => registry.byUid(uid));
    state.skipped.some(taken, skipped);
    cache.apply(resources);
  });
}

/** After a fault nothing is known for certain about what is offered, so the next publication is of everything. */
function takeOver(state: State, change: () => void): void {
  try {
    change();
  } catch (error) {
    state.whole = true;
    state.options.log.error("a snapshot could not be built", { error });
  }
}
