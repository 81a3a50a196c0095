import { type ActivityState, activityLimits, unlisted } from "./activity-state.ts";

/** A streaming query is about to start in that Connect session. @returns what takes it back */
export function startQuery(driver: ActivityState, connectSession: string): () => void {
  const full = driver.streamingQueries.size >= activityLimits.streamingSessions;
  const session = full && !driver.streamingQueries.has(connectSession) ? unlisted : connectSession;
  driver.streamingQueries.set(session, (driver.streamingQueries.get(session) ?? 0) + 1);
  return () => withdraw(driver, session);
}

function withdraw(driver: ActivityState, session: string): void {
  const left = (driver.streamingQueries.get(session) ?? 0) - 1;
  if (left > 0) driver.streamingQueries.set(session, left);
  else driver.streamingQueries.delete(session);
}

/**
 * A query is about to be stopped. The same query twice counts once: of two queries of which one is stopped twice, one
 * runs. So a stop that cannot be remembered does not count, and the driver stays busy until the session is released.
 * @returns what takes it back; undefined where it does not count
 */
export function stopQuery(
  driver: ActivityState,
  connectSession: string,
  queryId: string | undefined,
): (() => void) | undefined {
  if (queryId === undefined || !driver.streamingQueries.has(connectSession)) return undefined;
  const stopped = driver.stoppedQueries.get(connectSession) ?? new Set<string>();
  const newcomer = stopped.size === 0 && driver.stoppedQueries.size >= activityLimits.streamingSessions;
  if (stopped.has(queryId) || stopped.size >= activityLimits.stoppedQueries || newcomer) return undefined;
  driver.stoppedQueries.set(connectSession, stopped.add(queryId));
  withdraw(driver, connectSession);
  return () => {
    stopped.delete(queryId);
    startQuery(driver, connectSession);
  };
}
