/** Lets a bounded number of starts go on at once; the others wait in the order of their coming. */
export interface StartTurns {
  /** Resolves with the function that gives the turn back. @throws the signal's reason when it aborts first */
  take(signal: AbortSignal): Promise<() => void>;
}

export function createStartTurns(atOnce: number): StartTurns {
  let free = atOnce;
  const waiting: (() => void)[] = [];
  const release = () => {
    const next = waiting.shift();
    if (next === undefined) free += 1;
    else next();
  };
  const once = () => {
    let given = false;
    return () => {
      if (!given) release();
      given = true;
    };
  };
  return {
    async take(signal) {
      signal.throwIfAborted();
      if (free > 0) {
        free -= 1;
        return once();
      }
      await new Promise<void>((resolve, reject) => {
        const mine = () => {
          signal.removeEventListener("abort", giveUp);
          resolve();
        };
        const giveUp = () => {
          const at = waiting.indexOf(mine);
          if (at >= 0) waiting.splice(at, 1);
          reject(signal.reason as Error);
        };
        waiting.push(mine);
        signal.addEventListener("abort", giveUp, { once: true });
      });
      return once();
    },
  };
}
