import { GatewayError } from "../kernel/errors.ts";
import { type SessionKey, sessionKeyId } from "../sessions/session-key.ts";
import { isRoutable } from "./catalog.ts";
import type { Driver, DriverEnd } from "./driver.ts";
import { failureMessage } from "./failure-message.ts";

interface Waiter {
  readonly ignoring: string | undefined;
  resolve(driver: Driver): void;
  reject(error: GatewayError): void;
}

/** Those who wait for a driver of a key to become routable. Telling costs nothing for keys that nobody waits for. */
export interface DriverWaiters {
  wait(key: SessionKey, current: Driver | undefined, options: WaitOptions): Promise<Driver>;
  /** The newest driver of that key is now this one. */
  changed(key: SessionKey, current: Driver): void;
  /** A driver is gone and this is what the key has left. */
  removed(end: DriverEnd, current: Driver | undefined): void;
}

export interface WaitOptions {
  readonly signal: AbortSignal;
  /** The uid of a failed driver that is being replaced: its failure and its removal say nothing about the new one. */
  readonly ignoring: string | undefined;
}

export function createDriverWaiters(): DriverWaiters {
  const byKey = new Map<string, Set<Waiter>>();
  const tell = (key: SessionKey, current: Driver) => {
    for (const waiter of byKey.get(sessionKeyId(key)) ?? []) settle(waiter, current);
  };
  return {
    wait: (key, current, options) => add(byKey, sessionKeyId(key), current, options),
    changed: tell,
    removed(end, current) {
      if (current !== undefined) return tell(end.key, current);
      for (const waiter of byKey.get(sessionKeyId(end.key)) ?? []) {
        if (end.uid !== waiter.ignoring)
          waiter.reject(new GatewayError("DRIVER_FAILED", failureMessage({ ...end, logTail: [] })));
      }
    },
  };
}

function settle(waiter: Waiter, current: Driver): void {
  if (current.uid === waiter.ignoring) return;
  if (isRoutable(current)) waiter.resolve(current);
  else if (current.phase === "failed") waiter.reject(driverFailed(current));
}

/** The error for everyone who asks for a driver that failed: its cause in plain words, and whose it was: only they may read it. */
export function driverFailed(driver: Driver): GatewayError {
  const failure = driver.failure ?? { summary: "the driver failed without saying why", logTail: [] };
  return new GatewayError("DRIVER_FAILED", failureMessage(failure), {
    fields: { driver: driver.name, owner: driver.owner },
  });
}

function add(
  byKey: Map<string, Set<Waiter>>,
  id: string,
  current: Driver | undefined,
  { signal, ignoring }: WaitOptions,
): Promise<Driver> {
  return new Promise((resolve, reject) => {
    const gone = () => waiter.reject(new GatewayError("REQUEST_CANCELLED", "the wait for the driver was given up"));
    const leave = () => {
      signal.removeEventListener("abort", gone);
      const waiters = byKey.get(id);
      waiters?.delete(waiter);
      if (waiters?.size === 0) byKey.delete(id);
    };
    const waiter: Waiter = {
      ignoring,
      resolve(driver) {
        leave();
        resolve(driver);
      },
      reject(error) {
        leave();
        reject(error);
      },
    };
    const waiters = byKey.get(id) ?? new Set();
    byKey.set(id, waiters.add(waiter));
    signal.addEventListener("abort", gone, { once: true });
    if (signal.aborted) gone();
    else if (current !== undefined) settle(waiter, current);
  });
}
