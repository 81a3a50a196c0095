/**
 * The lasting form of a decision. Field names and meanings are a public contract (docs/reference/audit.md, JSON Schema
 * beside it); `schema` changes when they do.
 */
export interface DecisionRecord {
  readonly schema: "gatehouse.audit/1";
  readonly kind: "decision";
  /** ISO 8601, UTC, milliseconds. */
  readonly time: string;
  readonly decision_id: string;
  readonly request_id: string;
  readonly source_address: string;
  readonly method: string;
  readonly verdict: "allow" | "deny";
  readonly reason: string;
  readonly message: string | null;
  readonly issuer: string | null;
  readonly subject: string | null;
  readonly user: string | null;
  readonly groups: readonly string[];
  readonly team: string | null;
  readonly token_fingerprint: string | null;
  readonly session: string | null;
  readonly driver: string | null;
  readonly driver_uid: string | null;
  readonly latency_ms: number;
  readonly held_ms: number;
}

/** What was inside an allowed call: one for each call whose body was inspected, written before its message went on. */
export interface OperationRecord {
  readonly schema: "gatehouse.audit/1";
  readonly kind: "operation";
  readonly time: string;
  readonly decision_id: string;
  readonly method: string;
  readonly verdict: "allow" | "deny";
  readonly reason: string;
  readonly message: string | null;
  /** The identity that the driver was made to see. */
  readonly user_id: string;
  /** The identity that the client claimed (at most 200 characters), where it differs. */
  readonly claimed_user_id: string | null;
  readonly connect_session: string | null;
  readonly operation_id: string | null;
  readonly session: string;
  readonly driver_uid: string;
}

/** What Gatehouse itself did to a driver: a start, a drain, a stop, an end that it observed. */
export interface DriverRecord {
  readonly schema: "gatehouse.audit/1";
  readonly kind: "driver";
  readonly time: string;
  readonly action: "start" | "drain" | "stop" | "ended" | "failed";
  readonly reason: string;
  readonly message: string | null;
  readonly session: string;
  readonly owner: string;
  readonly driver: string;
  readonly driver_uid: string | null;
  /** The decision that led to it, where there was one. */
  readonly decision_id: string | null;
}

export type AuditRecord = DecisionRecord | OperationRecord | DriverRecord;

/** Port: where audit records go. */
export interface AuditSink {
  /**
   * Resolves once the record is with the operating system (`write(2)` returned).
   * @throws GatewayError AUDIT_UNAVAILABLE
   */
  write(record: AuditRecord): Promise<void>;
}
