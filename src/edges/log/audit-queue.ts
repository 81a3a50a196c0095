/** What takes a batch. Must not reject. */
type TakeBatch<T> = (batch: readonly T[]) => Promise<void>;

interface BatchQueue<T> {
  push(entry: T): void;
  /** Runs `task` when no batch is under way and all entries pushed before are taken. */
  between(task: () => void): Promise<void>;
}

/** Collects entries and hands over all of one turn of the event loop at once; one batch at a time, in order. */
export function createBatchQueue<T>(take: TakeBatch<T>): BatchQueue<T> {
  let waiting: T[] = [];
  let tasks: (() => void)[] = [];
  let running = false;

  const drain = async (): Promise<void> => {
    while (waiting.length > 0 || tasks.length > 0) {
      const [batch, due] = [waiting, tasks];
      [waiting, tasks] = [[], []];
      if (batch.length > 0) await take(batch);
      for (const task of due) task();
    }
    // In the same step as the last look at the queue: an entry that comes after it starts a new round.
    running = false;
  };

  const schedule = (): void => {
    if (running) return;
    running = true;
    setImmediate(() => void drain());
  };

  return {
    push(entry) {
      waiting.push(entry);
      schedule();
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
