import { displayKey, type SessionKey } from "../sessions/session-key.ts";
import type { DriverRecord } from "./audit.ts";
import { auditText } from "./decision-record.ts";

/** What happened to a driver, before it takes its lasting form. */
export interface DriverEvent {
  /** ms since the epoch */
  readonly time: number;
  readonly action: DriverRecord["action"];
  /** A short code: `on_demand`, `idle`, `max_ttl`, `deleted`, or a {@link DriverRecord} end's cause. */
  readonly reason: string;
  readonly message?: string | undefined;
  readonly key: SessionKey;
  readonly owner: string;
  readonly name: string;
  readonly uid?: string | undefined;
  readonly decisionId?: string | undefined;
}

/** The lasting form of a driver's event: every text bounded and printable. Never throws. */
export function toDriverRecord(event: DriverEvent): DriverRecord {
  return {
    schema: "gatehouse.audit/1",
    kind: "driver",
    time: new Date(event.time).toISOString(),
    action: event.action,
    reason: auditText("reason", event.reason),
    message: auditText("message", event.message),
    session: auditText("session", displayKey(event.key)),
    owner: auditText("owner", event.owner),
    driver: auditText("driver", event.name),
    driver_uid: auditText("driver_uid", event.uid),
    decision_id: auditText("decision_id", event.decisionId),
  };
}
