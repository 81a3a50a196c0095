import type { Denied } from "../../decisions/decision.ts";
import { reasons } from "../../kernel/reasons.ts";
import { displayKey } from "../../sessions/session-key.ts";
import { denialStatus, type GrpcDenial, grpcDenialHeaders } from "./render-denial.ts";
import { writeDenied } from "./write-check.ts";

/** What a client is told about a decision against it. */
export function denialOf(decision: Denied): GrpcDenial {
  return {
    decisionId: decision.id,
    reason: decision.reason,
    message: decision.message,
    retryAfterMs: decision.retryAfterMs,
    fields: decision.fields,
    session: decision.key && displayKey(decision.key),
    user: decision.principal?.user,
  };
}

/** The answer to Envoy that refuses the call; its dynamic metadata lets the access log say why. */
export function renderDeny(decision: Denied): Uint8Array {
  return renderDenial(denialOf(decision), {
    request_id: decision.requestId,
    method: decision.method,
  });
}

/** The same for a refusal that no decision was made about. */
export function renderDenial(denial: GrpcDenial, facts: Readonly<Record<string, string>>): Uint8Array {
  return writeDenied({
    code: denialStatus(denial.reason),
    httpStatus: httpStatusForEnvoy(denial),
    headers: grpcDenialHeaders(denial).map(({ name, value }) => [name, value]),
    metadata: { ...facts, decision_id: denial.decisionId, reason: denial.reason },
  });
}

/** gRPC callers always get HTTP 200; this is for the others. Envoy refuses codes that its enumeration lacks (499). */
export function httpStatusForEnvoy(denial: GrpcDenial): number {
  const status = reasons[denial.reason].http;
  return status === 499 || status < 400 ? 500 : status;
}
