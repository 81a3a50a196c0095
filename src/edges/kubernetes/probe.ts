import type { DriverAddress } from "../../drivers/driver.ts";
import type { FirstCall } from "../../drivers/first-call.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Secret } from "../../kernel/secret.ts";

/** What is probed for one driver. Another `since` or token at the same address asks anew. */
export interface ProbeTarget extends DriverAddress {
  /** The driver's own; undefined for one without. */
  readonly token: Secret | undefined;
  /** When the pod became ready, or what else tells one readiness from the next. */
  readonly since: string;
}

export interface ProberOptions {
  readonly firstCall: FirstCall;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** The driver has answered. */
  onAnswer(uid: string): void;
}

/**
 * Finds out whether drivers answer: kubelet's word that a pod is ready is about its port, and may be older than the server in
 * it. One call at a time to each driver, and at most 64 at once; 2 s for the connection, then what the call itself allows;
 * repeated after 100 ms, later up to 2 s, until there is an answer or nobody wants it.
 */
export interface Prober {
  /** Probes this target until it answers; one that did, or is being probed, is left alone. Undefined: no more. */
  want(uid: string, target: ProbeTarget | undefined): void;
  /** Whether the target that is wanted has answered. */
  answers(uid: string): boolean;
  /** Why the last call to the target that is wanted was not answered: a gRPC status. Undefined where none got that far. */
  refusal(uid: string): string | undefined;
  /** Resolves when every target that is wanted now was tried once, or is wanted no more. */
  triedAll(): Promise<void>;
  close(): void;
}

interface Probe {
  readonly uid: string;
  readonly target: ProbeTarget;
  readonly tried: Promise<void>;
  readonly markTried: () => void;
  attempts: number;
  answered: boolean;
  /** Of the last try. */
  refusal: string | undefined;
  cancel: () => void;
}

const atOnce = 64;
/** How many of these at most may be for drivers that accept connections and did not answer last time: they may hang again. */
const refusedAtOnce = 32;
const connectLimitMs = 2_000;
const [firstPauseMs, maxPauseMs] = [100, 2_000];

interface State extends ProberOptions {
  readonly probes: Map<string, Probe>;
  readonly waiting: Set<Probe>;
  running: number;
  /** Among those running. */
  refused: number;
}

export function createProber(options: ProberOptions): Prober {
  const state: State = { ...options, probes: new Map(), waiting: new Set(), running: 0, refused: 0 };
  return {
    want(uid, target) {
      const before = state.probes.get(uid);
      if (before !== undefined && target !== undefined && sameTarget(before.target, target)) return;
      if (before !== undefined) end(state, before);
      if (target === undefined) return;
      const probe = newProbe(uid, target);
      state.probes.set(uid, probe);
      enqueue(state, probe);
    },
    answers: (uid) => state.probes.get(uid)?.answered === true,
    refusal: (uid) => state.probes.get(uid)?.refusal,
    async triedAll() {
      await Promise.all(Array.from(state.probes.values(), ({ tried }) => tried));
    },
    close() {
      for (const probe of state.probes.values()) end(state, probe);
    },
  };
}

function newProbe(uid: string, target: ProbeTarget): Probe {
  let markTried = () => {};
  const tried = new Promise<void>((resolve) => {
    markTried = resolve;
  });
  return { uid, target, tried, markTried, attempts: 0, answered: false, refusal: undefined, cancel: () => {} };
}

function sameTarget(a: ProbeTarget, b: ProbeTarget): boolean {
  const sameToken = a.token === undefined || b.token === undefined ? a.token === b.token : a.token.equals(b.token);
  return a.host === b.host && a.port === b.port && a.since === b.since && sameToken;
}

function end(state: State, probe: Probe): void {
  if (state.probes.get(probe.uid) === probe) state.probes.delete(probe.uid);
  state.waiting.delete(probe);
  probe.cancel();
  probe.markTried();
}

function enqueue(state: State, probe: Probe): void {
  state.waiting.add(probe);
  runNext(state);
}

function runNext(state: State): void {
  for (const next of state.waiting) {
    if (state.running >= atOnce) break;
    if (next.refusal !== undefined && state.refused >= refusedAtOnce) continue;
    state.waiting.delete(next);
    void run(state, next);
  }
}

/** Never rejects. */
async function run(state: State, probe: Probe): Promise<void> {
  const again = probe.refusal === undefined ? 0 : 1;
  state.running += 1;
  state.refused += again;
  const over = new AbortController();
  probe.cancel = () => over.abort();
  let answered = false;
  let refusal: string | undefined;
  if (await state.firstCall.accepts(probe.target, connectLimitMs, over.signal)) {
    refusal = await state.firstCall.refusal(probe.target, probe.target.token, over.signal);
    answered = refusal === undefined;
  }
  state.running -= 1;
  state.refused -= again;
  probe.refusal = refusal;
  settle(state, probe, answered);
  runNext(state);
}

function settle(state: State, probe: Probe, answered: boolean): void {
  const wanted = state.probes.get(probe.uid) === probe;
  if (wanted && answered) {
    probe.answered = true;
    probe.cancel = () => {};
    state.onAnswer(probe.uid);
  } else if (wanted) {
    const pause = Math.min(maxPauseMs, firstPauseMs * 2 ** probe.attempts);
    probe.attempts += 1;
    // Half of it at random: a node that comes back must not meet all probes at once.
    probe.cancel = state.clock.after(pause * (0.5 + state.random() / 2), () => enqueue(state, probe));
  }
  probe.markTried();
}
