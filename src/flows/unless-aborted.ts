import { GatewayError } from "../kernel/errors.ts";

/**
 * Starts `work` and waits for it as long as the caller's signal allows; what is done at once is answered at once, without
 * a look at the signal, which may be expensive to have. The work itself is not stopped: give it the signal too where it can be.
 * @throws GatewayError REQUEST_CANCELLED, as the promise's rejection
 */
export function unlessAborted<T>(caller: { readonly signal: AbortSignal }, work: () => T | Promise<T>): T | Promise<T> {
  const result = work();
  return result instanceof Promise ? untilAborted(caller.signal, result) : result;
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
    // The caller first: what it no longer waits for decides nothing.
    return await Promise.race([aborted, result]);
  } finally {
    stopListening?.();
  }
}

const cancelled = (): GatewayError => new GatewayError("REQUEST_CANCELLED", "the call was cancelled");
