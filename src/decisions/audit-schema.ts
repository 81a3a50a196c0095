import { reasons } from "../kernel/reasons.ts";
import type { AuditRecord, DecisionRecord, DriverRecord, OperationRecord } from "./audit.ts";
import { auditGroups, auditLimits } from "./audit-limits.ts";

/** As much of JSON Schema 2020-12 as the audit needs. */
interface JsonSchema {
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly format?: string;
  readonly items?: JsonSchema;
}

interface RecordSchema<R extends AuditRecord> {
  readonly type: "object";
  readonly title: string;
  readonly additionalProperties: false;
  readonly required: readonly string[];
  readonly properties: { readonly [K in keyof R]-?: JsonSchema };
}

type TextField = keyof typeof auditLimits;

const text = (field: TextField, description: string): JsonSchema => ({
  description,
  type: "string",
  maxLength: auditLimits[field],
});
const textOrNull = (field: TextField, description: string): JsonSchema => ({
  description,
  type: ["string", "null"],
  maxLength: auditLimits[field],
});
const record = <R extends AuditRecord>(title: string, properties: RecordSchema<R>["properties"]): RecordSchema<R> => ({
  type: "object",
  title,
  additionalProperties: false,
  required: Object.keys(properties),
  properties,
});

const version: JsonSchema = {
  description: "The version of this contract; changes when a field's meaning does.",
  type: "string",
  const: "gatehouse.audit/1",
};
const time: JsonSchema = { description: "UTC, ISO 8601, milliseconds.", type: "string", format: "date-time" };
const verdict: JsonSchema = { description: "What was decided.", type: "string", enum: ["allow", "deny"] };
const reason: JsonSchema = {
  description: "The reason code; docs/reference/reasons.md explains each.",
  type: "string",
  enum: Object.keys(reasons),
};
const kind = (name: AuditRecord["kind"]): JsonSchema => ({
  description: "Which record this is.",
  type: "string",
  const: name,
});

const decisionRecord = record<DecisionRecord>("A decision at the door, written before its answer", {
  schema: version,
  kind: kind("decision"),
  time,
  decision_id: text("decision_id", "Joins the records of one call; the client gets it as x-gatehouse-decision-id."),
  request_id: text("request_id", "Envoy's x-request-id."),
  source_address: text("source_address", "The client's address, as Envoy saw it."),
  method: text("method", "The Spark Connect method, or the raw path where it is none."),
  verdict,
  reason,
  message: textOrNull("message", "What the client was told; null for an allow."),
  issuer: textOrNull("issuer", "The token's issuer (iss), once verified."),
  subject: textOrNull("subject", "The token's subject (sub), once verified."),
  user: textOrNull("user", "The display name; it identifies nobody without the issuer."),
  groups: {
    description: "The caller's groups, the first ones where there are many.",
    type: "array",
    maxItems: auditGroups,
    items: { type: "string", maxLength: auditLimits.group },
  },
  team: textOrNull("team", "The caller's team."),
  token_fingerprint: textOrNull("token_fingerprint", "The start of the token's SHA-256, also where it was refused."),
  session: textOrNull("session", "namespace/app, once resolved."),
  driver: textOrNull("driver", "The driver's name, once there is one."),
  driver_uid: textOrNull("driver_uid", "The driver's incarnation."),
  latency_ms: { description: "From arrival to answer, held time included.", type: "number", minimum: 0 },
  held_ms: { description: "How long the call waited for its driver.", type: "number", minimum: 0 },
});

const operationRecord = record<OperationRecord>("What an allowed call carried, written before it went on", {
  schema: version,
  kind: kind("operation"),
  time,
  decision_id: text("decision_id", "The decision that allowed the call."),
  method: text("method", "The Spark Connect method."),
  verdict,
  reason,
  message: textOrNull("message", "What the client was told; null for an allow."),
  user_id: text("user_id", "The identity that the driver was made to see: subject@issuerName."),
  claimed_user_id: textOrNull("claimed_user_id", "The identity that the client claimed, where it differs."),
  connect_session: textOrNull("connect_session", "Spark's own session id."),
  operation_id: textOrNull("operation_id", "Spark's operation id, where the method has one."),
  session: text("session", "namespace/app."),
  driver_uid: text("driver_uid", "The driver's incarnation."),
});

const driverRecord = record<DriverRecord>("What happened to a driver", {
  schema: version,
  kind: kind("driver"),
  time,
  action: {
    description: "What was done or seen.",
    type: "string",
    enum: ["start", "drain", "stop", "ended", "failed"],
  },
  reason: text("reason", "Why."),
  message: textOrNull("message", "The same for people."),
  session: text("session", "namespace/app."),
  owner: text("owner", "The owner's identity: subject@issuerName."),
  driver: text("driver", "The driver's name."),
  driver_uid: textOrNull("driver_uid", "The driver's incarnation, once known."),
  decision_id: textOrNull("decision_id", "The decision that led to it, where there was one."),
});

/** JSON Schema of one line of the audit. The reference prints it; a test proves that real records satisfy it. */
export const auditSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Gatehouse audit record",
  type: "object",
  required: ["kind"],
  oneOf: [decisionRecord, operationRecord, driverRecord],
} as const;
