import type { Clock } from "../kernel/clock.ts";

/** Spreads regular writes: at most so many a second and so many at once, those that are needed soon first. */
export interface WriteTurns {
  /** Begins the write when it is its turn, unless it is withdrawn (the answer) before. `begin` must not reject. */
  take(soon: boolean, begin: () => Promise<void>): () => void;
  /** A write that could not wait for a turn: the others give way for as long as it takes to make up for it. */
  passedBy(): void;
  /** No more turns: what still waits is dropped. */
  close(): void;
}

/** Writes under way at once: an API server that has become slow must not be asked for more and more. */
export const maxWritesAtOnce = 32;

interface State {
  readonly clock: Clock;
  readonly perSecond: number;
  readonly soon: Set<Turn>;
  readonly later: Set<Turn>;
  /** What may begin now, at most a second's worth; below 0 while it is to be made up for. */
  allowance: number;
  allowedAt: number;
  underWay: number;
  closed: boolean;
  cancelNext: (() => void) | undefined;
}

interface Turn {
  readonly begin: () => Promise<void>;
}

/** @param perSecond how many may begin in a second; as many may begin at once where there were none before */
export function createWriteTurns(clock: Clock, perSecond: number): WriteTurns {
  const state: State = {
    clock,
    perSecond,
    soon: new Set(),
    later: new Set(),
    allowance: perSecond,
    allowedAt: clock.now(),
    underWay: 0,
    closed: false,
    cancelNext: undefined,
  };
  return {
    take(soon, begin) {
      if (state.closed) return () => undefined;
      const turn: Turn = { begin };
      const queue = soon ? state.soon : state.later;
      queue.add(turn);
      next(state);
      return () => void queue.delete(turn);
    },
    passedBy() {
      refill(state);
      state.allowance = Math.max(-perSecond, state.allowance - 1);
    },
    close() {
      state.closed = true;
      state.soon.clear();
      state.later.clear();
      state.cancelNext?.();
    },
  };
}

function next(state: State): void {
  refill(state);
  while (state.allowance >= 1 && state.underWay < maxWritesAtOnce) {
    const turn = first(state.soon) ?? first(state.later);
    if (turn === undefined) return;
    state.allowance -= 1;
    state.underWay += 1;
    void turn.begin().finally(() => {
      state.underWay -= 1;
      next(state);
    });
  }
  const isDue = state.allowance < 1 && state.soon.size + state.later.size > 0;
  if (!isDue || state.cancelNext !== undefined) return;
  const waitMs = Math.ceil(((1 - state.allowance) * 1_000) / state.perSecond);
  state.cancelNext = state.clock.after(waitMs, () => {
    state.cancelNext = undefined;
    next(state);
  });
}

/** Takes the first one out. */
function first(queue: Set<Turn>): Turn | undefined {
  const [turn] = queue;
  if (turn !== undefined) queue.delete(turn);
  return turn;
}

/** A clock that was set back gives nothing, and takes nothing away. */
function refill(state: State): void {
  const now = state.clock.now();
  const grown = (Math.max(0, now - state.allowedAt) * state.perSecond) / 1_000;
  state.allowance = Math.min(state.perSecond, state.allowance + grown);
  state.allowedAt = now;
}
