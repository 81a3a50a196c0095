import type { Reason } from "../kernel/reasons.ts";
import { displayKey } from "../sessions/session-key.ts";
import type { DecisionRecord } from "./audit.ts";
import { auditGroups, auditLimits } from "./audit-limits.ts";
import type { DecisionSubject } from "./decision.ts";
import { printable } from "./printable.ts";

type TextField = keyof typeof auditLimits;

/** A record's text: printable and bounded as that field allows; undefined becomes null. */
export function auditText(field: TextField, value: string): string;
export function auditText(field: TextField, value: string | undefined): string | null;
export function auditText(field: TextField, value: string | undefined): string | null {
  return value === undefined ? null : printable(value, auditLimits[field]);
}

const milliseconds = (value: number): number => Math.max(0, Math.round(value * 1000) / 1000);

/** As much of a decision as its record needs: calls of the HTTP side are decided upon too, and lead to no driver. */
export type RecordableDecision = DecisionSubject &
  (
    | { readonly verdict: "allow"; readonly reason: Reason }
    | { readonly verdict: "deny"; readonly reason: Reason; readonly message: string }
  );

/** The lasting form of a decision: every text bounded and printable, no secret in it. Never throws. */
export function toDecisionRecord(decision: RecordableDecision): DecisionRecord {
  const { principal, key, driver } = decision;
  return {
    schema: "gatehouse.audit/1",
    kind: "decision",
    time: new Date(decision.time).toISOString(),
    decision_id: auditText("decision_id", decision.id),
    request_id: auditText("request_id", decision.requestId),
    source_address: auditText("source_address", decision.sourceAddress),
    method: auditText("method", decision.method),
    verdict: decision.verdict,
    reason: decision.reason,
    message: auditText("message", decision.verdict === "deny" ? decision.message : undefined),
    issuer: auditText("issuer", principal?.issuer),
    subject: auditText("subject", principal?.subject),
    user: auditText("user", principal?.user),
    groups: (principal?.groups ?? []).slice(0, auditGroups).map((group) => auditText("group", group)),
    team: auditText("team", principal?.team),
    token_fingerprint: auditText("token_fingerprint", decision.tokenFingerprint),
    session: auditText("session", key && displayKey(key)),
    driver: auditText("driver", driver?.name),
    driver_uid: auditText("driver_uid", driver?.uid),
    latency_ms: milliseconds(decision.latencyMs),
    held_ms: milliseconds(decision.heldMs),
  };
}
