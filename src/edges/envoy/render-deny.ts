import type { Denied } from "../../decisions/decision.ts";
import { reasons } from "../../kernel/reasons.ts";
import { displayKey } from "../../sessions/session-key.ts";
import type { CheckAnswer } from "./check-server.ts";
import { type Facts, factHeaders } from "./facts.ts";
import { type GrpcDenial, grpcDenialHeaders } from "./render-denial.ts";

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

/** The answer to ext_authz that refuses the call; its dynamic metadata lets the access log say why. */
export function renderDeny(decision: Denied): CheckAnswer {
  return renderDenial(denialOf(decision), {
    request_id: decision.requestId,
    method: decision.method,
    decision_id: decision.id,
    reason: decision.reason,
  });
}

/** The same for a refusal that no decision was made about. @param facts for the access log */
export function renderDenial(denial: GrpcDenial, facts: Facts): CheckAnswer {
  const told = factHeaders(facts);
  for (const { name, value } of grpcDenialHeaders(denial)) told.push(name, value);
  return { status: refusingStatus(denial), headers: told };
}

/** Envoy would take 5xx for a failure of ours and tell the client nothing of what we say. */
function refusingStatus(denial: GrpcDenial): number {
  const status = httpStatusForEnvoy(denial);
  if (status < 500) return status;
  return denial.retryAfterMs === undefined ? 403 : 429;
}

/** gRPC callers always get HTTP 200; this is for the others. Envoy refuses codes that its enumeration lacks (499). */
export function httpStatusForEnvoy(denial: GrpcDenial): number {
  const status = reasons[denial.reason].http;
  return status === 499 || status < 400 ? 500 : status;
}
