import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/metrics.ts";
import { ApiError, type KubeApi } from "./api.ts";
import { backoffMs, createPauses, type Pauses } from "./backoff.ts";
import type { KubeObject } from "./objects.ts";
import { listAll, type Selection } from "./reflector-list.ts";
import type { ReflectorKind, ReflectorState } from "./reflector-state.ts";
import { watchTurn } from "./reflector-watch.ts";

/** Where a reflector reports. Calls come in order, never two at once. What it throws is logged and otherwise ignored. */
export interface ReflectorSink<T> {
  /** The whole collection as it is: what is not in it is gone. */
  replaced(items: readonly T[]): void;
  upserted(item: T): void;
  /** With the object's last state. */
  deleted(item: T): void;
}

export interface ReflectorOptions<T> {
  readonly api: KubeApi;
  /** The collection's path. */
  readonly path: string;
  /** Its plural: for metrics and the log. */
  readonly resource: string;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly sink: ReflectorSink<T>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Objects asked for at once; default 500. */
  readonly pageSize?: number;
  /** A watch that was silent for so long is begun anew. ms; bookmarks come about once a minute */
  readonly staleAfterMs: number;
}

/**
 * Keeps one collection in step. What it reported stays until a list or a DELETED event says otherwise, however long the server
 * is away. A collection that the server does not know is an empty one: with a CRD all its objects go, told by a watch or not.
 */
export interface Reflector {
  /** Resolves only when the signal aborts. To be called once. */
  run(signal: AbortSignal): Promise<void>;
  state(): ReflectorState;
  /** Called when the kind or the message changes. @returns ends it */
  onState(listener: (state: ReflectorState) => void): () => void;
  /** The server may be of another mind now: a wait after a failure ends within a second, unless the server asked for it. */
  hurry(): void;
}

/** Why the whole list is read again; a label of `gatehouse_kubernetes_relists_total`. */
type RelistCause = "expired" | "silent" | "reinstalled";

interface Work<T> {
  readonly options: ReflectorOptions<T>;
  readonly selection: Selection;
  readonly listeners: Set<(state: ReflectorState) => void>;
  state: ReflectorState;
  /** Up to where the collection is known; undefined: it must be listed. */
  version: string | undefined;
  /** Whether a list was complete already. */
  listed: boolean;
  cause: RelistCause;
  /** In a row. */
  failures: number;
  /** When the watch that now goes on was accepted. ms since the epoch */
  openedAt: number | undefined;
  readonly pauses: Pauses;
  /** Whether the wait before the next try is our own choice, after a failure. */
  mayHurry: boolean;
  /** Whether the last failure was that the version is too old. */
  expired: boolean;
}

const ABSENT_RETRY_MS = 10_000;
/** A watch that was open for so long before it broke is no repeated failure. */
const LASTED_MS = 5_000;
const RETRY = { minMs: 200, maxMs: 30_000 } as const;
/** Over so long the tries of many collections are spread that are called at once. */
const HURRY_MS = 1_000;

export function createReflector<T extends KubeObject>(options: ReflectorOptions<T>): Reflector {
  const work: Work<T> = {
    options,
    selection: { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector },
    listeners: new Set(),
    state: { kind: "listing", since: options.clock.now(), lastHeard: 0 },
    version: undefined,
    listed: false,
    cause: "expired",
    failures: 0,
    openedAt: undefined,
    pauses: createPauses(options.clock),
    mayHurry: false,
    expired: false,
  };
  return {
    async run(signal) {
      while (!signal.aborted) {
        const delayMs = await turn(work, signal);
        if (delayMs > 0) await work.pauses.pause(delayMs, signal);
      }
    },
    state: () => work.state,
    onState(listener) {
      work.listeners.add(listener);
      return () => void work.listeners.delete(listener);
    },
    hurry() {
      if (work.mayHurry) work.pauses.endWithin(options.random() * HURRY_MS);
    },
  };
}

/** One list or one watch. @returns how long to wait before the next, ms */
async function turn<T extends KubeObject>(work: Work<T>, signal: AbortSignal): Promise<number> {
  try {
    if (work.version === undefined) {
      await list(work, signal);
      return 0;
    }
    return await watch(work, work.version, signal);
  } catch (error) {
    return signal.aborted ? 0 : failed(work, error);
  }
}

async function list<T extends KubeObject>(work: Work<T>, signal: AbortSignal): Promise<void> {
  const { api, path, pageSize = 500, metrics, resource } = work.options;
  if (work.state.kind === "live") change(work, "listing", undefined);
  if (work.listed) metrics.count("gatehouse_kubernetes_relists_total", { resource, cause: work.cause });
  const { items, version } = await listAll<T>(api, path, work.selection, pageSize, signal);
  work.version = version;
  work.listed = true;
  hear(work);
  guarded(work, () => work.options.sink.replaced(items));
  change(work, "live", undefined);
}

async function watch<T extends KubeObject>(work: Work<T>, version: string, signal: AbortSignal): Promise<number> {
  const { api, path, random, clock, staleAfterMs, metrics, resource, sink } = work.options;
  const well = () => change(work, "live", undefined);
  const end = await watchTurn<T>({
    api,
    path,
    selection: work.selection,
    version,
    seconds: 240 + Math.floor(random() * 61),
    staleAfterMs,
    clock,
    signal,
    onOpen() {
      work.openedAt = clock.now();
      well();
    },
    onChange(type, item) {
      metrics.count("gatehouse_kubernetes_events_total", { resource, type });
      guarded(work, () => (type === "DELETED" ? sink.deleted(item) : sink.upserted(item)));
    },
    onVersion(seen) {
      if (seen !== undefined) work.version = seen;
      work.failures = 0;
      hear(work);
      well();
    },
  });
  if (end === "clean") {
    work.failures = 0;
    hear(work);
    return 0;
  }
  if (end === "silent") {
    // Not from the last version: a server that was set back to an earlier state would stay silent for ever.
    relist(work, "silent");
    return 0;
  }
  throw new ApiError(0, "NoAnswer", "the server ends the watch at once");
}

function failed<T>(work: Work<T>, error: unknown): number {
  const { clock, log, random, resource } = work.options;
  const known = error instanceof ApiError ? error : undefined;
  const message = known?.message ?? "unexpected error";
  if (known === undefined) log.error("a collection cannot be read", { resource, error });
  if (work.openedAt !== undefined && clock.now() - work.openedAt >= LASTED_MS) work.failures = 0;
  work.openedAt = undefined;
  work.failures += 1;
  work.mayHurry = known?.status !== 404 && known?.status !== 410 && known?.retryAfterMs === undefined;
  const again = work.expired;
  work.expired = known?.status === 410;
  if (known?.status === 410) {
    relist(work, "expired");
    // As after a long absence: at once. Only where that happens again is something wrong.
    return work.failures === 1 || !again ? 0 : backoffMs(work.failures, RETRY, random, known.retryAfterMs);
  }
  if (known?.status === 404) {
    relist(work, "reinstalled");
    work.failures = 0;
    if (work.state.kind !== "absent") guarded(work, () => work.options.sink.replaced([]));
    change(work, "absent", message);
    return ABSENT_RETRY_MS;
  }
  change(work, known?.status === 403 ? "forbidden" : "away", message);
  return backoffMs(work.failures, RETRY, random, known?.retryAfterMs);
}

function relist<T>(work: Work<T>, cause: RelistCause): void {
  work.version = undefined;
  work.cause = cause;
}

function hear<T>(work: Work<T>): void {
  work.state = { ...work.state, lastHeard: work.options.clock.now() };
}

function change<T>(work: Work<T>, kind: ReflectorKind, message: string | undefined): void {
  const { state, listeners, options } = work;
  if (state.kind === kind && state.message === message) return;
  const since = state.kind === kind ? state.since : options.clock.now();
  work.state = { kind, since, lastHeard: state.lastHeard, ...(message === undefined ? {} : { message }) };
  if (state.kind !== kind) tell(work, kind, message);
  for (const listener of listeners) guarded(work, () => listener(work.state));
}

function tell<T>({ options }: Work<T>, kind: ReflectorKind, message: string | undefined): void {
  const fields = { resource: options.resource, path: options.path, ...(message === undefined ? {} : { why: message }) };
  if (kind === "away" || kind === "forbidden") options.log.warn(`a collection is ${kind}`, fields);
  else if (kind === "listing") options.log.debug("a collection is listed anew", fields);
  else options.log.info(`a collection is ${kind}`, fields);
}

/** What others throw must not end the watch. */
function guarded<T>({ options }: Work<T>, tell: () => void): void {
  try {
    tell();
  } catch (error) {
    options.log.error("what a collection told could not be taken in", { resource: options.resource, error });
  }
}
