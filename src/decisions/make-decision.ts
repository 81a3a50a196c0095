import type { GatewayError } from "../kernel/errors.ts";
import type { Reason } from "../kernel/reasons.ts";
import type { Allowed, Decision, DecisionSubject, Denied } from "./decision.ts";

/** What an allow needs to know beyond the subject: none of it may be missing. */
export interface Grant {
  readonly reason: Reason;
  readonly principal: Allowed["principal"];
  readonly key: Allowed["key"];
  readonly route: Allowed["route"];
}

/** The verdict "allow" about that subject. Every field by name: it is made for every call, and a spread costs more than all else here. */
export function allowed(subject: DecisionSubject, grant: Grant): Allowed {
  const { driver } = grant.route;
  return {
    id: subject.id,
    time: subject.time,
    requestId: subject.requestId,
    sourceAddress: subject.sourceAddress,
    method: subject.method,
    tokenFingerprint: subject.tokenFingerprint,
    latencyMs: subject.latencyMs,
    heldMs: subject.heldMs,
    verdict: "allow",
    reason: grant.reason,
    principal: grant.principal,
    key: grant.key,
    driver: { uid: driver.uid, name: driver.name },
    route: grant.route,
  };
}

/** The verdict "deny" about that subject, for the reason that the error names. */
export function denied(subject: DecisionSubject, error: GatewayError): Denied {
  return {
    id: subject.id,
    time: subject.time,
    requestId: subject.requestId,
    sourceAddress: subject.sourceAddress,
    method: subject.method,
    principal: subject.principal,
    tokenFingerprint: subject.tokenFingerprint,
    key: subject.key,
    driver: subject.driver,
    latencyMs: subject.latencyMs,
    heldMs: subject.heldMs,
    verdict: "deny",
    reason: error.reason,
    message: error.message,
    retryAfterMs: error.retryAfterMs,
    fields: error.fields,
  };
}

/** The same call, refused after all: nothing of the grant is left in it. */
export function overruled(decision: Decision, error: GatewayError): Denied {
  return denied(decision, error);
}
