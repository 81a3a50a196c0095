import { GatewayError } from "../kernel/errors.ts";

/**
 * Starts `work` and waits for it as long as the signal allows; what is done at once is answered at once. The work itself is
 * not stopped: give it the signal too where it can be.
 * @throws GatewayError REQUEST_CANCELLED, thrown or as the promise's rejection
 */
export function unlessAborted<T>(signal: AbortSignal, work: () => T | Promise<T>): T | Promise<T> {
  if (signal.aborted) throw cancelled();
  const result = work();
  return result instanceof Promise ? untilAborted(signal, result) : result;
}

async function untilAborted<T>(signal: AbortSignal, result: Promise<T>): Promise<T> {
  let stopListening: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(cancelled());
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    stopListening = () => signal.removeEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    stopListening?.();
  }
}

const cancelled = (): GatewayError => new GatewayError("REQUEST_CANCELLED", "the call was cancelled");
