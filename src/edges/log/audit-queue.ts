/** What takes a batch. Must not reject. */
type TakeBatch<T> = (batch: readonly T[]) => Promise<void>;

interface BatchQueue<T> {
  push(entry: T): void;
  /** Runs `task` when no batch is under way and all entries pushed before are taken. */
  between(task: () => void): Promise<void>;
}

/**
 * Collects entries and hands over those of one turn of the event loop together, or `enough` of them as soon as they are there;
 * one batch at a time, in order.
 */
export function createBatchQueue<T>(take: TakeBatch<T>, enough: number): BatchQueue<T> {
  let waiting: T[] = [];
  let tasks: (() => void)[] = [];
  let draining = false;
  let scheduled: NodeJS.Immediate | undefined;

  const drain = async (): Promise<void> => {
    clearImmediate(scheduled);
    scheduled = undefined;
    draining = true;
    while (waiting.length > 0 || tasks.length > 0) {
      const [batch, due] = [waiting, tasks];
      [waiting, tasks] = [[], []];
      if (batch.length > 0) await take(batch);
      for (const task of due) task();
    }
    // In the same step as the last look at the queue: an entry that comes after it starts a new round.
    draining = false;
  };

  const schedule = (): void => {
    if (!draining) scheduled ??= setImmediate(() => void drain());
  };

  return {
    push(entry) {
      waiting.push(entry);
      if (waiting.length >= enough && !draining) void drain();
      else schedule();
    },
    between(task) {
      return new Promise((resolve, reject) => {
        tasks.push(() => {
          try {
            task();
            resolve();
          } catch (error) {
            reject(error);
          }
        });
        schedule();
      });
    },
  };
}
