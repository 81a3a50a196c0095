import type { Clock } from "../../kernel/clock.ts";

/** Delays in ms between tries: the first lies between `minMs` and twice that, the limit doubles up to `maxMs`. */
export interface BackoffRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/** What a server may make us wait at most. ms */
const MAX_ASKED_MS = 300_000;

/**
 * How long to wait after so many failures in a row (1 after the first): evenly spread below a growing limit, so that many
 * clients do not come back together; never less than what the server asked for.
 */
export function backoffMs(
  failures: number,
  { minMs, maxMs }: BackoffRange,
  random: () => number,
  askedMs?: number,
): number {
  const limit = Math.min(maxMs, minMs * 2 ** Math.min(Math.max(1, failures), 30));
  const own = minMs + random() * Math.max(0, limit - minMs);
  return Math.max(own, Math.min(askedMs ?? 0, MAX_ASKED_MS));
}

/** Resolves after that time, or at once when the signal aborts. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal.addEventListener("abort", done, { once: true });
  });
}

/** Pauses, one at a time, that may end early. */
export interface Pauses {
  /** As {@link pause}. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
  /** Ends the pause that goes on now after that time at the latest. */
  endWithin(ms: number): void;
}

export function createPauses(clock: Clock): Pauses {
  let early: AbortController | undefined;
  return {
    async pause(ms, signal) {
      const own = new AbortController();
      const giveUp = () => own.abort();
      signal.addEventListener("abort", giveUp, { once: true });
      if (signal.aborted) giveUp();
      early = own;
      await pause(clock, ms, own.signal);
      early = undefined;
      signal.removeEventListener("abort", giveUp);
    },
    endWithin(ms) {
      const ending = early;
      // Asked once for each pause.
      early = undefined;
      if (ending !== undefined) clock.after(ms, () => ending.abort());
    },
  };
}
