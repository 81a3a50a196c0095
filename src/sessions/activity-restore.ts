import type { ActivityRecord } from "./activity-record.ts";
import { type ActivityState, activityLimits } from "./activity-state.ts";

/** The circumstances under which a record is read. */
export interface Restored {
  /** Now, ms since the epoch. */
  readonly at: number;
  /** For how long uses may have gone unrecorded after the record was written, ms. */
  readonly unrecordedMs: number;
}

/** The durable form of what is known. Notes that it was given out. */
export function recordOf(driver: ActivityState): ActivityRecord {
  driver.recordedOperations = driver.operations.size > 0;
  return {
    v: 1,
    lastActive: driver.lastActive,
    streamingQueries: Object.fromEntries(driver.streamingQueries),
    detached: Array.from(driver.operations.values(), ({ operationId, connectSession, lastAttached }) => ({
      operationId,
      connectSession,
      lastAttached,
    })),
    connectSessions: [...driver.connectSessions],
  };
}

/** Adds what was recorded to what is known; see `Activity.restore`. */
export function restoreInto(driver: ActivityState, record: ActivityRecord, { at, unrecordedMs }: Restored): void {
  const latestUse = (record.recordedAt ?? record.lastActive) + unrecordedMs;
  driver.lastActive = Math.max(driver.lastActive, record.lastActive, Math.min(at, latestUse));
  for (const [session, count] of Object.entries(record.streamingQueries)) {
    if (count > 0) driver.streamingQueries.set(session, Math.max(count, driver.streamingQueries.get(session) ?? 0));
  }
  for (const { operationId, connectSession } of record.detached) {
    if (driver.operations.has(operationId)) continue;
    driver.operations.set(operationId, { operationId, connectSession, lastAttached: at, released: false });
  }
  const seenSince = [...driver.connectSessions];
  driver.connectSessions.clear();
  for (const session of [...record.connectSessions, ...seenSince].slice(-activityLimits.connectSessions)) {
    driver.connectSessions.add(session);
  }
  driver.recordedOperations ||= record.detached.length > 0;
  driver.base = record;
}
