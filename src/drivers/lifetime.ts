import type { Usage } from "../sessions/idleness.ts";
import type { Draining } from "./driver.ts";

/** How long drivers of a profile live, in ms. */
export interface Lifetimes {
  readonly idleTimeoutMs: number;
  readonly maxTtlMs: number;
  /** How long a driver past its maximum lifetime may stay busy. */
  readonly drainLimitMs: number;
}

/** What is due for a driver now; undefined is nothing. */
export type LifetimeStep =
  | { readonly step: "drain"; readonly reason: Draining["reason"] }
  | { readonly step: "undrain" }
  | { readonly step: "stop"; readonly reason: Draining["reason"] };

export interface LifetimeFacts {
  readonly createdAt: number;
  readonly draining: Draining | undefined;
  readonly usage: Usage;
  readonly now: number;
}

/**
 * The rule by which drivers end, applied again and again to what is known: pure.
 *
 * Unused for the idle timeout → drain; unused for `quietMs` more → stop; any use in between → no drain. Older than the
 * maximum lifetime → drain, whatever it does; then stop when it is quiet, or at the drain limit. A deletion that was
 * begun is carried through.
 * @param quietMs the time after which a stream that is alive must have been reported
 */
export function lifetimeStep(facts: LifetimeFacts, lifetimes: Lifetimes, quietMs: number): LifetimeStep | undefined {
  const { createdAt, draining, usage, now } = facts;
  if (draining?.reason === "deleted") return { step: "stop", reason: "deleted" };
  if (draining?.reason !== "max_ttl" && now - createdAt >= lifetimes.maxTtlMs)
    return { step: "drain", reason: "max_ttl" };

  const unused = now - usage.lastActive;
  if (draining?.reason === "max_ttl") {
    // A call that is younger than its first report shows only in the last use.
    const quiet = usage.busy.length === 0 && unused >= quietMs;
    const over = now - draining.since >= lifetimes.drainLimitMs;
    return quiet || over ? { step: "stop", reason: "max_ttl" } : undefined;
  }
  if (draining === undefined) {
    const idle = usage.busy.length === 0 && unused >= lifetimes.idleTimeoutMs;
    return idle ? { step: "drain", reason: "idle" } : undefined;
  }
  // A use before the drain that was not known then counts too: another replica had not recorded it yet.
  const later = usage.lastActive > draining.since - lifetimes.idleTimeoutMs;
  const inUse = usage.busy.some((cause) => cause !== "unproven") || later;
  if (inUse) return { step: "undrain" };
  // While nothing is proved the drain neither ends nor goes on.
  const proved = usage.busy.length === 0 && now - draining.since >= quietMs;
  return proved ? { step: "stop", reason: "idle" } : undefined;
}
