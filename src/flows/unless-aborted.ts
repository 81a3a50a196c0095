import { GatewayError } from "../kernel/errors.ts";

/**
 * Starts `work` and waits for it as long as the signal allows. The work itself is not stopped: give it the signal too
 * where it can be.
 * @throws GatewayError REQUEST_CANCELLED
 */
export async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  if (signal.aborted) throw cancelled();
  let stopListening: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(cancelled());
    signal.addEventListener("abort", onAbort, { once: true });
    stopListening = () => signal.removeEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    stopListening?.();
  }
}

const cancelled = (): GatewayError => new GatewayError("REQUEST_CANCELLED", "the call was cancelled");
