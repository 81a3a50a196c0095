import type { ActivityState } from "./activity-state.ts";

/**
 * Why a driver counts as busy although nobody may be calling it:
 * - `stream`: a client's stream was reported alive within two intervals;
 * - `detached`: a reattachable execution was not released and a client was attached to it within the grace;
 * - `streaming_query`: a streaming query was started, not stopped, and its Connect session was not released;
 * - `unproven`: reports of streams may be missing (a start of ours, a gap in the access log), so nothing is known.
 */
export type BusyCause = "stream" | "detached" | "streaming_query" | "unproven";

export interface IdlenessRules {
  /** How often a live stream is reported, ms. */
  readonly intervalMs: number;
  /** How long after the last attach a detached operation keeps its driver busy, ms. */
  readonly detachedGraceMs: number;
}

export interface Usage {
  /** In no particular order, each once; empty when nothing but `lastActive` speaks for the driver. */
  readonly busy: readonly BusyCause[];
  /** ms since the epoch */
  readonly lastActive: number;
}

/** What buffering (1 s in Envoy) and the way to us may add to an interval. ms */
const slackMs = 2_000;

/** How long a sign of life of a stream is good for: two intervals, so that one lost report ends nothing. ms */
export function proofMs(rules: Pick<IdlenessRules, "intervalMs">): number {
  return 2 * rules.intervalMs + slackMs;
}

/**
 * Judges the use of a driver: pure, from what was seen and the time.
 * @param gapAt when reports of streams were last known to be incomplete, ms since the epoch
 */
export function usage(state: ActivityState, gapAt: number, now: number, rules: IdlenessRules): Usage {
  const busy: BusyCause[] = [];
  // Loops that make no lists: the reaper asks this of every driver.
  let streamSeen = state.unlistedStream;
  for (const seen of state.streams.values()) streamSeen = Math.max(streamSeen, seen);
  if (now - streamSeen < proofMs(rules)) busy.push("stream");
  let attached = Number.NEGATIVE_INFINITY;
  for (const { lastAttached } of state.operations.values()) attached = Math.max(attached, lastAttached);
  if (now - attached < rules.detachedGraceMs) busy.push("detached");
  if (state.streamingQueries.size > 0) busy.push("streaming_query");
  if (now - gapAt < proofMs(rules)) busy.push("unproven");
  return { busy, lastActive: state.lastActive };
}
