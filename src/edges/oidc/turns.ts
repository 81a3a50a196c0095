/** Work that keeps the thread busy, shared out over the event loop's turns. */
export interface Turns {
  /** At once while this turn has time left, else in a later one, in order. */
  run<T>(work: () => T): T | Promise<T>;
}

interface TurnsOptions {
  /** How long such work may take in one turn, in milliseconds; what has begun is not interrupted. */
  readonly budgetMs: number;
  /** Monotonic time in milliseconds with fractions. */
  readonly ticks: () => number;
  /** Runs a task after whatever else is ready to run. */
  readonly nextTurn: (task: () => void) => void;
}

/**
 * Many calls may arrive in one read of a socket. Those that need a signature checked must not make the others wait for all
 * of their checks: past the budget a check waits for the next turn, and what is quick goes in between.
 */
export function createTurns({ budgetMs, ticks, nextTurn }: TurnsOptions): Turns {
  const waiting: (() => void)[] = [];
  let spentMs = 0;
  let ending = false;

  function spend<T>(work: () => T): T {
    const begun = ticks();
    try {
      return work();
    } finally {
      spentMs += ticks() - begun;
      endTurn();
    }
  }

  const due = (): (() => void) | undefined => (spentMs < budgetMs ? waiting.shift() : undefined);

  /**
   * Asking for the next turn costs something too, so the first half of the budget is spent without: what earlier turns
   * spent of it counts against this one. Nothing waits without a turn to come, because it only waits once all is spent.
   */
  function endTurn(): void {
    if (ending || spentMs < budgetMs / 2) return;
    ending = true;
    nextTurn(() => {
      ending = false;
      spentMs = 0;
      for (let work = due(); work !== undefined; work = due()) work();
    });
  }

  return {
    run(work) {
      if (spentMs < budgetMs && waiting.length === 0) return spend(work);
      return new Promise((resolve, reject) => {
        waiting.push(() => {
          try {
            resolve(spend(work));
          } catch (thrown) {
            reject(thrown);
          }
        });
      });
    },
  };
}
