import type { Draining } from "../drivers/driver.ts";

/** A drain (or its end, undefined) that was asked for. */
export interface DrainWish {
  readonly draining: Draining | undefined;
}

/** A drain that was written, and what was reported then: whatever else is reported later is newer. */
export interface WrittenDrain extends DrainWish {
  readonly reported: Draining | undefined;
  /** ms since the epoch */
  readonly at: number;
}

/** What was written is reported by then, or was undone before it could be. ms */
const reportLimitMs = 60_000;

/** The drain that holds now: orders are answered before the watch shows what they did. */
export function drainingNow(
  reported: Draining | undefined,
  written: WrittenDrain | undefined,
  now: number,
): Draining | undefined {
  if (written === undefined || now - written.at >= reportLimitMs) return reported;
  return sameDraining(reported, written.reported) ? written.draining : reported;
}

export const sameDraining = (a: Draining | undefined, b: Draining | undefined): boolean =>
  a?.reason === b?.reason && a?.since === b?.since;
