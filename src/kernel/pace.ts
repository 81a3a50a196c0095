/** How many times as long as a turn the pause after it is: a long task takes a tenth of the thread. */
const pausePerTurn = 9;

/** However long a turn took: others may have had the processor, or garbage was collected. */
const longestPauseMs = 20;

/** Below this the timer would make the pause longer than the turn deserves. */
const shortestPauseMs = 1;

/**
 * Runs the next turn of a long task that others must not notice: after a pause in proportion to the turn before, or, where that took
 * next to nothing, after what has come in meanwhile.
 * @param tookMs how long the turn before took; 0 where nothing is left that others would have to wait for
 * @returns the function that cancels it
 */
export function afterPause(tookMs: number, task: () => void): () => void {
  const pauseMs = Math.min(longestPauseMs, pausePerTurn * tookMs);
  if (pauseMs < shortestPauseMs) {
    const immediate = setImmediate(task);
    return () => clearImmediate(immediate);
  }
  const timer = setTimeout(task, pauseMs);
  return () => clearTimeout(timer);
}
