import type { Clock } from "../../src/kernel/clock.ts";

/** A clock that stands still until it is moved, for very many tasks. */
export interface SteppedClock extends Clock {
  /** Moves time on, running what is due, each at its own time; promises settle in between. */
  advance(ms: number): Promise<void>;
}

export function createSteppedClock(start: number): SteppedClock {
  let now = start;
  /** Tasks by when they are due, in whole milliseconds. */
  const due = new Map<number, Set<() => void>>();
  return {
    now: () => now,
    after(delayMs, task) {
      const at = now + Math.max(1, Math.ceil(delayMs));
      const tasks = due.get(at) ?? new Set();
      due.set(at, tasks.add(task));
      return () => void tasks.delete(task);
    },
    async advance(ms) {
      const end = now + ms;
      while (now < end) {
        now += 1;
        const tasks = due.get(now);
        due.delete(now);
        for (const task of tasks ?? []) task();
        if (tasks !== undefined) await settled();
      }
    },
  };
}

/** Lets what waits for promises alone go on. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
