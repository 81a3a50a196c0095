import type { Decision } from "../decisions/decision.ts";
import { toDecisionRecord } from "../decisions/decision-record.ts";
import { overruled } from "../decisions/make-decision.ts";
import { GatewayError } from "../kernel/errors.ts";
import type { AuthorizeDeps } from "./authorize-deps.ts";
import type { Trail } from "./authorize-trail.ts";
import { writeInTime } from "./write-in-time.ts";

/** The decision that stands once its record was written, or could not be. Never rejects. */
export async function recorded(deps: AuthorizeDeps, decision: Decision): Promise<Decision> {
  try {
    await writeInTime(deps, toDecisionRecord(decision));
    return decision;
  } catch (thrown) {
    quietly(() =>
      deps.log.error("a decision could not be recorded", {
        decision_id: decision.id,
        verdict: decision.verdict,
        reason: decision.reason,
        on_audit_failure: deps.onAuditFailure,
        error: thrown,
      }),
    );
    if (decision.verdict === "deny" || deps.onAuditFailure === "allow") return decision;
    return overruled(
      decision,
      new GatewayError("AUDIT_UNAVAILABLE", "the audit record could not be written, so the call is refused", {
        retryAfterMs: 1000,
      }),
    );
  }
}

/** Says in the log what the client is not told. */
export function logged(deps: AuthorizeDeps, decision: Decision, error: GatewayError): void {
  const fields = { decision_id: decision.id, reason: error.reason, method: decision.method, error: error.cause };
  quietly(() => {
    if (error.reason === "INTERNAL") deps.log.error("a decision failed", fields);
    else if (error.cause !== undefined) deps.log.warn("a call was refused", fields);
  });
}

/** Counts the decision; a meter that fails changes no verdict. */
export function measured(deps: AuthorizeDeps, trail: Trail, decision: Decision): Decision {
  const { verdict, reason } = decision;
  quietly(() => {
    deps.metrics.count("gatehouse_decisions_total", { verdict, reason });
    if (trail.begun !== undefined) {
      const ownMs = Math.max(0, deps.ticks() - trail.begun - trail.heldMs);
      deps.metrics.observe("gatehouse_decision_seconds", { verdict }, ownMs / 1000);
    }
  });
  return decision;
}

function quietly(work: () => void): void {
  try {
    work();
  } catch {
    // Neither the log nor the meters may decide about a call.
  }
}
