import type { Clock } from "../../src/kernel/clock.ts";

/** A clock that stands still until it is moved. */
export interface FakeClock extends Clock {
  /** Moves time on by `ms`, running due tasks in order, each at its own time; promises settle between tasks. */
  advance(ms: number): Promise<void>;
  /** Tasks that are scheduled and not run. */
  readonly pending: number;
}

export function createFakeClock(start = 1_000_000): FakeClock {
  let now = start;
  let sequence = 0;
  const tasks = new Map<number, { readonly at: number; readonly task: () => void }>();
  const nextDue = (limit: number) => {
    let found: number | undefined;
    for (const [id, { at }] of tasks) {
      if (at <= limit && (found === undefined || at < (tasks.get(found)?.at ?? Number.POSITIVE_INFINITY))) found = id;
    }
    return found;
  };
  return {
    now: () => now,
    after(delayMs, task) {
      sequence += 1;
      const id = sequence;
      tasks.set(id, { at: now + Math.max(0, delayMs), task });
      return () => void tasks.delete(id);
    },
    async advance(ms) {
      const limit = now + ms;
      await settled();
      for (let id = nextDue(limit); id !== undefined; id = nextDue(limit)) {
        const due = tasks.get(id);
        tasks.delete(id);
        if (due === undefined) continue;
        now = Math.max(now, due.at);
        due.task();
        await settled();
      }
      now = limit;
      await settled();
    },
    get pending() {
      return tasks.size;
    },
  };
}

/** Lets everything that waits only for other promises run. */
export async function settled(): Promise<void> {
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
}
