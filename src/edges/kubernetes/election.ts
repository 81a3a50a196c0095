import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/metrics.ts";
import { ApiError, type KubeApi } from "./api.ts";
import { pause } from "./backoff.ts";
import { type Holder, leaseSpec, nextHolder, readLease, type StoredLease, type Tenure, writeLease } from "./lease.ts";
import type { LeaseOptions } from "./options.ts";

export interface ElectionOptions {
  readonly api: KubeApi;
  readonly lease: LeaseOptions;
  /** `<replica>|<host:port where it is asked for starts>`; no two processes ever have the same. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** ms that only ever grow and go on while this process is stopped; default `performance.now`. */
  readonly nowPerformance?: () => number;
}

/**
 * Who may write. At most one replica leads at a time, as long as clocks of different machines run at about the same speed:
 * they are never compared. A process that is stopped between looking and sending may still send that one request late, so
 * orders name what they are about (UID, resourceVersion) and do nothing where it has changed.
 */
export interface Election {
  /** Takes part until the signal aborts, then gives the Lease back. Never rejects. To be called once. */
  run(signal: AbortSignal): Promise<void>;
  /** Looks at the time itself: false also where no timer has fired yet since this process was stopped or busy. */
  leads(): boolean;
  /** Aborts the moment leadership is lost or cannot be proved any more; undefined while another leads. */
  term(): AbortSignal | undefined;
  /** Identity of the leader as last seen. It may be gone. */
  leader(): string | undefined;
  /**
   * Where this replica leads and its predecessor gave the Lease back: from when (as this replica saw it) to when that one
   * led, ms since the epoch. Undefined where the predecessor fell silent, or none was seen.
   */
  handedOver(): Tenure | undefined;
  /** Called when `leads` or `leader` may have changed. @returns ends it */
  onChange(listener: () => void): () => void;
}

interface State {
  readonly options: ElectionOptions;
  readonly now: () => number;
  readonly listeners: Set<() => void>;
  /** As this replica last read or wrote it. */
  lease: StoredLease | undefined;
  /** When we, by our own clock, first saw the Lease as it is now. */
  observed: { readonly text: string; readonly at: number } | undefined;
  holder: Holder;
  term: AbortController | undefined;
  /** When the last successful renewal was sent. */
  renewedAt: number;
  cancelTimer: () => void;
  complaint: string | undefined;
}

export function createElection(options: ElectionOptions): Election {
  const state: State = {
    options,
    now: options.nowPerformance ?? (() => performance.now()),
    listeners: new Set(),
    lease: undefined,
    observed: undefined,
    holder: { name: undefined, since: 0, returned: undefined },
    term: undefined,
    renewedAt: 0,
    cancelTimer: () => undefined,
    complaint: undefined,
  };
  options.metrics.set("gatehouse_leader", {}, 0);
  const leads = () => {
    checkDeadline(state);
    return state.term !== undefined;
  };
  return {
    run: async (signal) => await run(state, signal),
    leads,
    term: () => (leads() ? state.term?.signal : undefined),
    // Where the Lease still names us but we cannot prove it, nobody leads as far as we know.
    leader: () => (state.holder.name === options.identity && !leads() ? undefined : state.holder.name),
    handedOver: () => (leads() ? state.holder.returned : undefined),
    onChange(listener) {
      state.listeners.add(listener);
      return () => void state.listeners.delete(listener);
    },
  };
}

async function run(state: State, signal: AbortSignal): Promise<void> {
  const { clock, lease, random } = state.options;
  while (!signal.aborted) {
    await limited(state, signal, attempt);
    // Followers spread their tries, so that they do not all meet when a leader goes.
    await pause(clock, state.term === undefined ? lease.retryMs * (1 + random() / 2) : lease.retryMs, signal);
  }
  const gives = state.term !== undefined;
  lose(state, "shutting down");
  if (gives) await limited(state, undefined, giveBack);
}

/** Runs one step with a limit of a third of the renewal deadline, so that a hung server leaves time for another try. Never rejects. */
async function limited(
  state: State,
  outer: AbortSignal | undefined,
  step: (state: State, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { clock, lease } = state.options;
  const own = new AbortController();
  const giveUp = () => own.abort();
  const cancel = clock.after(Math.max(lease.renewDeadlineMs / 3, 200), giveUp);
  outer?.addEventListener("abort", giveUp, { once: true });
  if (outer?.aborted === true) giveUp();
  try {
    await step(state, own.signal);
    state.complaint = undefined;
  } catch (error) {
    // A conflict is how the race for the Lease is lost; nothing to tell.
    if (!isConflict(error) && outer?.aborted !== true) complain(state, error);
  } finally {
    cancel();
    outer?.removeEventListener("abort", giveUp);
  }
}

/** Once for each message in a row. */
function complain(state: State, error: unknown): void {
  const { log, lease } = state.options;
  const message = error instanceof ApiError ? error.message : "unexpected error";
  if (message !== state.complaint) log.warn("the Lease cannot be read or written", { lease: lease.name, error });
  state.complaint = message;
}

async function attempt(state: State, signal: AbortSignal): Promise<void> {
  const { api, lease: options, identity } = state.options;
  checkDeadline(state);
  if (state.term !== undefined && state.lease !== undefined) {
    try {
      await take(state, state.lease, signal);
      return;
    } catch (error) {
      if (!isConflict(error) && !(error instanceof ApiError && error.status === 404)) throw error;
    }
  }
  const lease = await readLease(api, options, signal);
  observe(state, lease);
  if (mayTake(state, lease)) await take(state, lease, signal);
  else if (lease?.spec?.holderIdentity !== identity) lose(state, "another replica holds the Lease");
}

function mayTake(state: State, lease: StoredLease | undefined): boolean {
  const { identity, lease: options } = state.options;
  const holder = lease?.spec?.holderIdentity ?? "";
  if (holder === "" || holder === identity) return true;
  const promised = (lease?.spec?.leaseDurationSeconds ?? 0) * 1_000;
  return state.now() - (state.observed?.at ?? state.now()) >= Math.max(promised, options.durationMs);
}

async function take(state: State, over: StoredLease | undefined, signal: AbortSignal): Promise<void> {
  const { api, lease: options, identity, clock } = state.options;
  // Counted from before the request: others may see the renewal as early as that.
  const sentAt = state.now();
  const spec = leaseSpec(over?.spec, identity, options.durationMs, clock.now());
  const written = await writeLease(api, options, over, spec, signal);
  observe(state, written);
  state.renewedAt = sentAt;
  if (state.now() - sentAt >= options.renewDeadlineMs) lose(state, "the renewal took too long");
  else lead(state);
}

async function giveBack(state: State, signal: AbortSignal): Promise<void> {
  const { api, lease: options, identity, clock } = state.options;
  const free = async (lease: StoredLease) => {
    await writeLease(api, options, lease, leaseSpec(lease.spec, "", options.durationMs, clock.now()), signal);
  };
  try {
    if (state.lease !== undefined) await free(state.lease);
  } catch (error) {
    if (!isConflict(error)) throw error;
    // A renewal whose answer we did not wait for.
    const lease = await readLease(api, options, signal);
    if (lease?.spec?.holderIdentity === identity) await free(lease);
  }
}

function observe(state: State, lease: StoredLease | undefined): void {
  const text = JSON.stringify([lease?.metadata.uid, lease?.spec]);
  if (state.observed?.text !== text) state.observed = { text, at: state.now() };
  state.lease = lease;
  const before = state.holder;
  state.holder = nextHolder(before, lease, state.options);
  const { name } = state.holder;
  if (name !== before.name && name !== state.options.identity) tell(state);
}

function lead(state: State): void {
  const { clock, lease, metrics, log } = state.options;
  state.cancelTimer();
  const left = Math.max(0, state.renewedAt + lease.renewDeadlineMs - state.now());
  state.cancelTimer = clock.after(left, () => checkDeadline(state));
  if (state.term !== undefined) return;
  state.term = new AbortController();
  metrics.set("gatehouse_leader", {}, 1);
  log.info("this replica leads", { lease: lease.name });
  tell(state);
}

function checkDeadline(state: State): void {
  if (state.term === undefined) return;
  if (state.now() - state.renewedAt < state.options.lease.renewDeadlineMs) return;
  lose(state, "the Lease was not renewed in time");
}

function lose(state: State, why: string): void {
  const { term, options } = state;
  if (term === undefined) return;
  state.cancelTimer();
  state.term = undefined;
  options.metrics.set("gatehouse_leader", {}, 0);
  options.log.warn("this replica leads no more", { lease: options.lease.name, why });
  term.abort(new Error(`this replica leads no more: ${why}`));
  tell(state);
}

function tell({ listeners, options }: State): void {
  for (const listener of listeners) {
    try {
      listener();
    } catch (error) {
      options.log.error("the change of leadership could not be taken in", { error });
    }
  }
}

const isConflict = (error: unknown): boolean => error instanceof ApiError && error.status === 409;
