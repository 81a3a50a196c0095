import type { Driver } from "../drivers/driver.ts";
import { GatewayError } from "../kernel/errors.ts";
import type { DrainWish, WrittenDrain } from "./persist-drain.ts";

/** Somebody who goes on only when a write has ended. */
export interface Waiter {
  resolve(): void;
  reject(error: GatewayError): void;
}

/** What is to be written of one driver, and how far that has come. */
export interface Entry {
  readonly uid: string;
  wish: DrainWish | undefined;
  written: WrittenDrain | undefined;
  /** Whether another record was reported during the write under way. */
  refresh: boolean;
  dirty: boolean;
  /** Whether something of it is needed soon. */
  soon: boolean;
  writing: Promise<void> | undefined;
  lastWrite: number;
  failures: number;
  /** When the next write is due (it may wait for its turn by now), and how to cancel it. */
  next: { readonly at: number; cancel: () => void } | undefined;
  waiters: Waiter[];
}

export function newEntry(driver: Driver): Entry {
  return {
    uid: driver.uid,
    wish: undefined,
    written: undefined,
    refresh: false,
    dirty: false,
    soon: false,
    writing: undefined,
    lastWrite: driver.recorded?.recordedAt ?? driver.recorded?.lastActive ?? driver.createdAt,
    failures: 0,
    next: undefined,
    waiters: [],
  };
}

export function recordUnavailable(why: string, cause?: unknown): GatewayError {
  return new GatewayError("RECORD_UNAVAILABLE", `the driver's record cannot be kept now: ${why}; try again`, {
    cause,
    retryAfterMs: 1_000,
  });
}
