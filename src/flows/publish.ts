import type { Registry } from "../drivers/registry.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import { buildSnapshot } from "../snapshots/build.ts";
import { checkConsistency } from "../snapshots/consistency.ts";
import type { Skipped } from "../snapshots/resource.ts";
import type { ServerCertificate, SnapshotSettings } from "../snapshots/settings.ts";
import type { ResourceCache } from "../xds/resource-cache.ts";

export interface PublisherOptions {
  readonly registry: Pick<Registry, "catalog" | "onChange" | "synced">;
  readonly cache: ResourceCache;
  readonly settings: SnapshotSettings;
  readonly certificate: ServerCertificate;
  readonly clock: Clock;
  readonly log: Log;
  /** Quiet time after a change before it is published, in milliseconds. Default 100. */
  readonly debounceMs?: number;
  /** The longest that changes are collected, in milliseconds. Default 1,000. */
  readonly ceilingMs?: number;
  /** Whether a client's call waits for a driver now: then a change is published at once. Default: never. */
  readonly awaited?: () => boolean;
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

interface State {
  readonly options: PublisherOptions;
  certificate: ServerCertificate;
  ready: boolean;
  /** When the oldest change that is not published came, ms. */
  changedAt: number | undefined;
  /** ms */
  publishedAt: number;
  cancelTimer: () => void;
  readonly reported: Set<string>;
}

export function createPublisher(options: PublisherOptions): Publisher {
  const state: State = {
    options,
    certificate: options.certificate,
    ready: false,
    changedAt: undefined,
    publishedAt: Number.NEGATIVE_INFINITY,
    cancelTimer: () => undefined,
    reported: new Set(),
  };
  const unlisten = options.registry.onChange((change) => {
    if (change.kind === "synced" || (state.ready && change.routes)) changed(state, change.kind === "remove");
  });
  if (options.registry.synced) publish(state);
  return {
    get ready() {
      return state.ready;
    },
    publishNow() {
      if (state.changedAt !== undefined) publish(state);
    },
    setCertificate(certificate) {
      state.certificate = certificate;
      publish(state);
    },
    close() {
      unlisten();
      state.cancelTimer();
    },
  };
}

/** @param gone a driver is gone: its address may be somebody else's at once, so Envoy is told now, though not again and again */
function changed(state: State, gone: boolean): void {
  const { clock, debounceMs = 100, ceilingMs = 1_000, awaited } = state.options;
  const now = clock.now();
  state.changedAt ??= now;
  state.cancelTimer();
  if (!state.ready || awaited?.() === true || (gone && now - state.publishedAt >= debounceMs)) {
    publish(state);
    return;
  }
  const quiet = Math.min(debounceMs, Math.max(0, state.changedAt + ceilingMs - now));
  state.cancelTimer = clock.after(quiet, () => publish(state));
}

/** A snapshot that cannot be built or is not consistent is not published: Envoy goes on with what it has. */
function publish(state: State): void {
  const { registry, cache, settings, log } = state.options;
  if (!registry.synced) return;
  state.cancelTimer();
  state.changedAt = undefined;
  state.publishedAt = state.options.clock.now();
  try {
    const snapshot = buildSnapshot(registry.catalog(), settings, state.certificate);
    reportSkipped(state, snapshot.skipped);
    const faults = checkConsistency(snapshot);
    if (faults.length > 0) {
      log.error("a snapshot was not published: it is not consistent", { faults: faults.slice(0, 20) });
      return;
    }
    cache.replace(snapshot.resources);
  } catch (error) {
    log.error("a snapshot could not be built", { error });
    return;
  }
  state.ready = true;
}

function reportSkipped(state: State, skipped: readonly Skipped[]): void {
  const now = new Set(skipped.map(({ uid, why }) => `${uid}: ${why}`));
  for (const line of state.reported) if (!now.has(line)) state.reported.delete(line);
  for (const { uid, why } of skipped) {
    const line = `${uid}: ${why}`;
    if (state.reported.has(line)) continue;
    state.reported.add(line);
    state.options.log.warn("a driver cannot be offered to Envoy", { driver_uid: uid, why });
  }
}
