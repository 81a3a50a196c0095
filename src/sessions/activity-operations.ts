import type { SparkCall } from "../spark/spark-call.ts";
import { type ActivityState, activityLimits, type TrackedOperation, unlisted } from "./activity-state.ts";
import type { IdlenessRules } from "./idleness.ts";

/** A client attaches to the call's operation, new or known. */
export function attach(
  driver: ActivityState,
  call: Pick<SparkCall, "operationId" | "connectSession">,
  at: number,
  rules: IdlenessRules,
): TrackedOperation {
  const operationId = call.operationId ?? unlisted;
  const known = driver.operations.get(operationId);
  if (known === undefined) return add(driver, { operationId, connectSession: call.connectSession ?? "" }, at, rules);
  known.lastAttached = Math.max(known.lastAttached, at);
  return known;
}

function add(
  driver: ActivityState,
  named: Pick<TrackedOperation, "operationId" | "connectSession">,
  at: number,
  rules: IdlenessRules,
): TrackedOperation {
  if (driver.operations.size >= activityLimits.operations) {
    for (const [id, { lastAttached }] of driver.operations) {
      if (at - lastAttached >= rules.detachedGraceMs) driver.operations.delete(id);
    }
  }
  const full = driver.operations.size >= activityLimits.operations;
  const operation = full ? unlistedOperation(driver, at) : { ...named, lastAttached: at, released: false };
  driver.operations.set(operation.operationId, operation);
  return operation;
}

/** The one that stands for all that cannot be told apart; it cannot be released and ends by time. */
function unlistedOperation(driver: ActivityState, at: number): TrackedOperation {
  const known = driver.operations.get(unlisted);
  if (known === undefined) return { operationId: unlisted, connectSession: "", lastAttached: at, released: false };
  known.lastAttached = Math.max(known.lastAttached, at);
  return known;
}

/** Notes what the end of this call would leave behind. The oldest notes give way; their calls then count as unknown. */
export function noteCall(driver: ActivityState, decisionId: string, leaves: TrackedOperation | undefined): void {
  driver.calls.set(decisionId, leaves);
  for (const oldest of driver.calls.keys()) {
    if (driver.calls.size <= activityLimits.calls) break;
    driver.calls.delete(oldest);
  }
}

/**
 * The call's stream was alive until now, so a client was attached to its operation until now. An execution that we know
 * nothing of (it began before our start, or is not inspected) counts as one that will leave an operation behind.
 */
export function callAlive(driver: ActivityState, decisionId: string, { at, executes }: CallSeen): void {
  const noted = driver.calls.has(decisionId);
  const operation = noted || !executes ? driver.calls.get(decisionId) : unlistedOperation(driver, at);
  if (operation === undefined || operation.released) return;
  operation.lastAttached = Math.max(operation.lastAttached, at);
  driver.operations.set(operation.operationId, operation);
}

/** The call's stream is over: its operation, unless released, is detached from now on. */
export function callEnded(driver: ActivityState, decisionId: string, seen: CallSeen): void {
  callAlive(driver, decisionId, seen);
  driver.calls.delete(decisionId);
}

interface CallSeen {
  readonly at: number;
  /** Whether its method can leave an operation behind. */
  readonly executes: boolean;
}

/** The operation is over. @returns what brings it back */
export function release(driver: ActivityState, operationId: string | undefined): () => void {
  const operation = operationId === undefined ? undefined : driver.operations.get(operationId);
  if (operation === undefined || operation.operationId === unlisted) return () => undefined;
  operation.released = true;
  driver.operations.delete(operation.operationId);
  return () => {
    operation.released = false;
    driver.operations.set(operation.operationId, operation);
  };
}

/** A client acknowledged part of the operation's results, so it is there. */
export function stillAttached(driver: ActivityState, operationId: string | undefined, at: number): void {
  const operation = driver.operations.get(operationId ?? unlisted);
  if (operation !== undefined) operation.lastAttached = Math.max(operation.lastAttached, at);
}

/** The Connect session is over, and with it all that ran in it. @returns what brings it back */
export function releaseSession(driver: ActivityState, connectSession: string): () => void {
  const released = [...driver.operations.values()]
    .filter((operation) => operation.connectSession === connectSession)
    .map((operation) => release(driver, operation.operationId));
  const stopped = driver.stoppedQueries.get(connectSession);
  const running = driver.streamingQueries.get(connectSession);
  driver.stoppedQueries.delete(connectSession);
  driver.streamingQueries.delete(connectSession);
  return () => {
    for (const bringBack of released) bringBack();
    if (stopped !== undefined) driver.stoppedQueries.set(connectSession, stopped);
    if (running === undefined) return;
    driver.streamingQueries.set(connectSession, running + (driver.streamingQueries.get(connectSession) ?? 0));
  };
}
