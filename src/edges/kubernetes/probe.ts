import { connect, type Socket } from "node:net";
import type { Clock } from "../../kernel/clock.ts";

/** What is probed for one driver. Another `since` at the same address asks anew. */
export interface ProbeTarget {
  readonly host: string;
  readonly port: number;
  /** When the pod became ready, or what else tells one readiness from the next. */
  readonly since: string;
}

export interface ProberOptions {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** The driver's port was reached. */
  onAnswer(uid: string): void;
}

/**
 * Finds out whether drivers' ports are open: kubelet's word that a pod is ready may be older than the server in it. At most
 * 64 connects at once, 2 s each; repeated after 100 ms, later up to 2 s, until there is an answer or nobody wants it.
 */
export interface Prober {
  /** Probes this target until it answers; one that did, or is being probed, is left alone. Undefined: no more. */
  want(uid: string, target: ProbeTarget | undefined): void;
  /** Whether the target that is wanted has answered. */
  answers(uid: string): boolean;
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
  cancel: () => void;
}

const atOnce = 64;
const connectLimitMs = 2_000;
const [firstPauseMs, maxPauseMs] = [100, 2_000];

interface State extends ProberOptions {
  readonly probes: Map<string, Probe>;
  readonly waiting: Set<Probe>;
  running: number;
}

export function createProber(options: ProberOptions): Prober {
  const state: State = { ...options, probes: new Map(), waiting: new Set(), running: 0 };
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
  return { uid, target, tried, markTried, attempts: 0, answered: false, cancel: () => {} };
}

const sameTarget = (a: ProbeTarget, b: ProbeTarget): boolean =>
  a.host === b.host && a.port === b.port && a.since === b.since;

function end(state: State, probe: Probe): void {
  if (state.probes.get(probe.uid) === probe) state.probes.delete(probe.uid);
  state.waiting.delete(probe);
  probe.cancel();
  probe.markTried();
}

function enqueue(state: State, probe: Probe): void {
  state.waiting.add(probe);
  for (const next of state.waiting) {
    if (state.running >= atOnce) break;
    state.waiting.delete(next);
    run(state, next);
  }
}

function run(state: State, probe: Probe): void {
  state.running += 1;
  const socket: Socket = connect({ host: probe.target.host, port: probe.target.port, timeout: connectLimitMs });
  let over = false;
  const done = (answered: boolean) => {
    if (over) return;
    over = true;
    socket.destroy();
    state.running -= 1;
    settle(state, probe, answered);
  };
  probe.cancel = () => done(false);
  socket.once("connect", () => done(true));
  socket.once("timeout", () => done(false));
  socket.once("error", () => done(false));
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
  const next = state.waiting.values().next().value;
  if (next !== undefined && state.running < atOnce) {
    state.waiting.delete(next);
    run(state, next);
  }
}
