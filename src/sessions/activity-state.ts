import type { ActivityRecord } from "./activity-record.ts";

/** A reattachable execution that was not released, whether a client is attached to it now or not. */
export interface TrackedOperation {
  readonly operationId: string;
  readonly connectSession: string;
  /** The last sign of an attached client, ms since the epoch. */
  lastAttached: number;
  released: boolean;
}

/** What is known of the use of one driver. Only `activity*.ts` change it; {@link usage} judges it. */
export interface ActivityState {
  /** The last sign of use, ms since the epoch; never goes back. */
  lastActive: number;
  /** Streams reported alive and not ended: when each was last reported, by its key. */
  readonly streams: Map<string, number>;
  /** The last report of a stream that found no place in `streams`; -Infinity for none. */
  unlistedStream: number;
  /** Operations by their id. */
  readonly operations: Map<string, TrackedOperation>;
  /**
   * What each execution call under way would leave behind, by decision id; undefined where nothing (not reattachable).
   * A call that is not listed may leave an operation behind.
   */
  readonly calls: Map<string, TrackedOperation | undefined>;
  /** Started and not stopped streaming queries by Connect session; never 0. */
  readonly streamingQueries: Map<string, number>;
  /** Stopped streaming queries by Connect session: a stop that is repeated counts once. */
  readonly stoppedQueries: Map<string, Set<string>>;
  /** Connect sessions seen, newest last. */
  readonly connectSessions: Set<string>;
  /** Whether the last record given out lists an operation. */
  recordedOperations: boolean;
  /** The record that the rest grew from; the difference is news that other replicas do not know yet. */
  base: ActivityRecord | undefined;
}

/**
 * How much is kept of one driver. Past a limit nothing that keeps a driver busy is lost: it is kept under
 * {@link unlisted}, where it cannot be released or stopped one by one, so the driver counts as busy for longer.
 */
export const activityLimits = {
  streams: 256,
  operations: 64,
  calls: 1_024,
  /** Connect sessions with streaming queries, and with stopped ones. */
  streamingSessions: 64,
  /** Stops of one Connect session that are remembered; later ones do not count. */
  stoppedQueries: 256,
  /** Past it the oldest is forgotten, and gets no SESSION_CHANGED on a later driver. */
  connectSessions: 64,
} as const;

/** The id of what cannot be told apart: operations without a known id, streaming queries past the limit. No UUID. */
export const unlisted = "*";

export function emptyActivity(since: number): ActivityState {
  return {
    lastActive: since,
    streams: new Map(),
    unlistedStream: Number.NEGATIVE_INFINITY,
    operations: new Map(),
    calls: new Map(),
    streamingQueries: new Map(),
    stoppedQueries: new Map(),
    connectSessions: new Set(),
    recordedOperations: false,
    base: undefined,
  };
}
