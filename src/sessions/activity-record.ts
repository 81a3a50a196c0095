/** A detached execution: reattachable, not released. Times in ms since the epoch. */
export interface DetachedOperation {
  readonly operationId: string;
  readonly connectSession: string;
  /** The last time that a client was attached to it. */
  readonly lastAttached: number;
}

/**
 * The durable form of a driver's activity: small, JSON, written on the driver's own record (local: its state file;
 * Kubernetes: an annotation). Version it with `v` when its meaning changes.
 */
export interface ActivityRecord {
  readonly v: 1;
  /** The last sign of use, ms since the epoch. */
  readonly lastActive: number;
  /** When it was written, ms since the epoch; uses since then may not be in it. Absent: when `lastActive` was. */
  readonly recordedAt?: number;
  /** Connect sessions with started streaming queries that were not stopped, and how many. */
  readonly streamingQueries: Readonly<Record<string, number>>;
  readonly detached: readonly DetachedOperation[];
  /** Connect sessions seen on this driver, newest last, at most 64: they get SESSION_CHANGED on any later driver. */
  readonly connectSessions: readonly string[];
}
