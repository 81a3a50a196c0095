import type { Clock } from "./clock.ts";

/**
 * Starts the work and waits for it, though not longer than that; it may go on and still be done after that.
 * @param limitMs milliseconds
 * @throws what `late` makes, as the promise's rejection, or whatever the work throws
 */
export function within<T>(clock: Clock, limitMs: number, work: () => Promise<T>, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(limitMs, () => reject(late()));
    work().then(
      (value) => {
        resolve(value);
        cancel();
      },
      (thrown: unknown) => {
        reject(thrown);
        cancel();
      },
    );
  });
}
