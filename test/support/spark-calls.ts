import type { SparkCall } from "../../src/spark/spark-call.ts";

/** What a message says, with everything that is not given absent. */
export function aCall(method: string, more: Partial<SparkCall> = {}): SparkCall {
  return {
    method,
    connectSession: "session-1",
    operationId: undefined,
    claimedUserId: undefined,
    reattachable: false,
    releasesOperation: false,
    streamingQuery: undefined,
    streamingQueryId: undefined,
    newConnectSession: undefined,
    ...more,
  };
}
