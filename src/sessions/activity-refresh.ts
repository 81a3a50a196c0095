import type { ActivityRecord } from "./activity-record.ts";
import { type ActivityState, activityLimits } from "./activity-state.ts";

/**
 * Takes in what other replicas recorded since `driver.base`: only the difference between the two, so that nothing counts
 * twice however often a record comes, and what is not written yet stays.
 */
export function refreshFrom(driver: ActivityState, record: ActivityRecord): void {
  const base = driver.base;
  driver.lastActive = Math.max(driver.lastActive, record.lastActive);
  refreshQueries(driver, base?.streamingQueries ?? {}, record.streamingQueries);
  refreshOperations(driver, base?.detached ?? [], record);
  for (const session of record.connectSessions) {
    if (base?.connectSessions.includes(session) !== true) driver.connectSessions.add(session);
  }
  for (const oldest of driver.connectSessions) {
    if (driver.connectSessions.size <= activityLimits.connectSessions) break;
    driver.connectSessions.delete(oldest);
  }
  driver.base = record;
}

type Queries = ActivityRecord["streamingQueries"];

function refreshQueries(driver: ActivityState, before: Queries, now: Queries): void {
  for (const session of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const change = (now[session] ?? 0) - (before[session] ?? 0);
    const count = (driver.streamingQueries.get(session) ?? 0) + change;
    if (count > 0) driver.streamingQueries.set(session, count);
    else driver.streamingQueries.delete(session);
  }
}

function refreshOperations(driver: ActivityState, before: ActivityRecord["detached"], record: ActivityRecord): void {
  const known = new Set(before.map((operation) => operation.operationId));
  for (const { operationId, connectSession, lastAttached } of record.detached) {
    const operation = driver.operations.get(operationId);
    if (operation !== undefined) operation.lastAttached = Math.max(operation.lastAttached, lastAttached);
    // One that was in the base was released here since. One too many is judged from the record alone.
    else if (!known.has(operationId) && driver.operations.size < activityLimits.operations) {
      driver.operations.set(operationId, { operationId, connectSession, lastAttached, released: false });
    }
    known.delete(operationId);
  }
  // Those left were released elsewhere. Where a stream of one is alive here all the same, its next report brings it back.
  const recordedAt = record.recordedAt ?? record.lastActive;
  for (const operationId of known) {
    const operation = driver.operations.get(operationId);
    if (operation !== undefined && operation.lastAttached <= recordedAt) driver.operations.delete(operationId);
  }
}
