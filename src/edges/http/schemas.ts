/** JSON Schemas of the HTTP side: what is validated, what is serialised, and what `openApi` describes. */

const text = { type: "string" } as const;
const time = { type: "string", format: "date-time", nullable: true } as const;

export const errorBody = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["reason", "message", "decision_id"],
      properties: {
        reason: { ...text, description: "A reason code; docs/reference/reasons.md lists all." },
        message: { ...text, description: "What happened and what to change, for people." },
        decision_id: { ...text, description: "Finds the call in the audit log and the log." },
      },
    },
  },
} as const;

export const healthBody = {
  type: "object",
  required: ["status"],
  properties: { status: { type: "string", enum: ["ok"] } },
} as const;

export const readyBody = {
  type: "object",
  required: ["ready", "reasons", "warnings"],
  properties: {
    ready: { type: "boolean" },
    reasons: { type: "array", items: text, description: "Why it cannot serve; empty when it can." },
    warnings: {
      type: "array",
      items: text,
      description: "What an operator should know although it serves, such as drivers that cannot be read now.",
    },
  },
} as const;

export const keepaliveParams = {
  type: "object",
  required: ["namespace", "app"],
  properties: {
    namespace: { ...text, maxLength: 63, description: "The session's namespace." },
    app: { ...text, maxLength: 253, description: "The session's app name." },
  },
} as const;

export const sessionsBody = {
  type: "object",
  required: ["sessions"],
  properties: {
    sessions: {
      type: "array",
      items: {
        type: "object",
        properties: {
          session: { ...text, description: "`namespace/app`" },
          owner: text,
          profile: text,
          driver: text,
          driver_uid: text,
          phase: { type: "string", description: "starting, ready, draining or failed" },
          created: time,
          last_active: time,
          busy: { type: "array", items: text, description: "What keeps it from being idle now." },
          idle_deadline: { ...time, description: "When it is stopped unless it is used; null while it is busy." },
          ttl_deadline: { ...time, description: "When it takes no new work any more." },
        },
      },
    },
  },
} as const;
