import type { Found } from "./field-tree.ts";
import { malformed } from "./malformed.ts";
import type { SparkMethod } from "./methods.ts";
import type { SparkCall } from "./spark-call.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const isUuid = (value: string): boolean => uuid.test(value);

/** An empty string is what protobuf gives for an absent field. */
const given = (value: string | undefined): string | undefined => (value === "" ? undefined : value);

/** Refuses a `session_id` that is no UUID, as soon as it is there. @throws GatewayError MESSAGE_MALFORMED */
export function checkConnectSession(sessionId: string): void {
  if (!isUuid(sessionId)) throw malformed("session_id is not a UUID");
}

/**
 * What a complete message says.
 * @param first whether it is the call's first: only the first names the Connect session for certain, as the driver does
 * not look at the later ones' (AddArtifacts)
 * @throws GatewayError MESSAGE_MALFORMED
 */
export function callOf(method: SparkMethod, found: Found, first: boolean): SparkCall {
  const { texts, marks } = found;
  const connectSession = given(texts.sessionId);
  if (connectSession !== undefined) checkConnectSession(connectSession);
  else if (first || texts.sessionId !== undefined) throw malformed("session_id is missing");
  const newConnectSession = given(texts.newSessionId);
  if (newConnectSession !== undefined && !isUuid(newConnectSession)) throw malformed("new_session_id is not a UUID");
  const operationId = given(texts.operationId);
  const starts = marks.streamingStart === true;
  const stops = !starts && marks.streamingStop === true;
  return {
    method: method.name,
    connectSession,
    operationId: operationId !== undefined && isUuid(operationId) ? operationId.toLowerCase() : operationId,
    claimedUserId: given(texts.claimedUserId),
    reattachable: marks.reattachable === true,
    releasesOperation: marks.release === true,
    streamingQuery: starts ? "start" : stops ? "stop" : undefined,
    streamingQueryId: stops ? given(texts.streamingQueryId) : undefined,
    newConnectSession,
  };
}
