import Fastify from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditRecord, DriverRecord, OperationRecord } from "../../../src/decisions/audit.ts";
import { auditSchema } from "../../../src/decisions/audit-schema.ts";
import type { DecisionSubject } from "../../../src/decisions/decision.ts";
import { toDecisionRecord } from "../../../src/decisions/decision-record.ts";
import { allowed, denied, overruled } from "../../../src/decisions/make-decision.ts";
import { GatewayError } from "../../../src/kernel/errors.ts";
import { alice, driverOf, etl } from "../../support/authorize-deps.ts";

const subject: DecisionSubject = {
  id: "3f1f5c9a-54a0-4d52-8a4e-0f3a1b7f3c11",
  time: Date.parse("2026-01-02T03:04:05.678Z"),
  requestId: "req-1",
  sourceAddress: "127.0.0.1",
  method: "ExecutePlan",
  principal: undefined,
  tokenFingerprint: undefined,
  key: undefined,
  driver: undefined,
  latencyMs: 1.23456,
  heldMs: 0,
};
const grant = {
  reason: "OWNER",
  principal: alice,
  key: etl,
  route: { cluster: "driver|sjns-data-dev/etl|uid-1", driver: driverOf(alice), inspect: true },
} as const;
const hostile = "\u0000\u001b\ud800\u202e\n".repeat(5_000);
const allow = allowed({ ...subject, tokenFingerprint: alice.tokenFingerprint }, grant);
const deny = denied(subject, new GatewayError("TOKEN_MISSING", "no bearer token was sent"));
const worst = denied(
  {
    ...subject,
    id: hostile,
    requestId: hostile,
    sourceAddress: hostile,
    method: hostile,
    principal: {
      ...alice,
      issuer: hostile,
      subject: hostile,
      user: hostile,
      team: hostile,
      groups: Array.from({ length: 500 }, () => hostile),
    },
    tokenFingerprint: hostile,
    key: { cluster: hostile, namespace: hostile, app: hostile },
    driver: { uid: hostile, name: hostile },
    latencyMs: -1,
  },
  new GatewayError("INTERNAL", hostile),
);

const operation: OperationRecord = {
  schema: "gatehouse.audit/1",
  kind: "operation",
  time: "2026-01-02T03:04:05.678Z",
  decision_id: "d",
  method: "ExecutePlan",
  verdict: "allow",
  reason: "OWNER",
  message: null,
  user_id: "alice-sub@dev",
  claimed_user_id: null,
  connect_session: null,
  operation_id: null,
  session: "ns/app",
  driver_uid: "uid-1",
};
const driverRecord: DriverRecord = {
  schema: "gatehouse.audit/1",
  kind: "driver",
  time: "2026-01-02T03:04:05.678Z",
  action: "start",
  reason: "on demand",
  message: null,
  session: "ns/app",
  owner: "alice-sub@dev",
  driver: "gh-etl",
  driver_uid: null,
  decision_id: "d",
};

describe("decision records", () => {
  it("say all that an allow was about, and nothing secret", () => {
    const record = toDecisionRecord(allow);
    expect(record).toEqual({
      schema: "gatehouse.audit/1",
      kind: "decision",
      time: "2026-01-02T03:04:05.678Z",
      decision_id: subject.id,
      request_id: "req-1",
      source_address: "127.0.0.1",
      method: "ExecutePlan",
      verdict: "allow",
      reason: "OWNER",
      message: null,
      issuer: alice.issuer,
      subject: "alice-sub",
      user: "alice",
      groups: ["engineers"],
      team: "data",
      token_fingerprint: alice.tokenFingerprint,
      session: "sjns-data-dev/etl",
      driver: "gh-etl",
      driver_uid: "uid-1",
      latency_ms: 1.235,
      held_ms: 0,
    });
    expect(JSON.stringify(record)).not.toContain("driver-token");
  });

  it("have null for what a refusal did not get to", () => {
    const record = toDecisionRecord(deny);
    expect(record).toMatchObject({ verdict: "deny", reason: "TOKEN_MISSING", user: null, session: null, driver: null });
    expect(record.message).toBe("no bearer token was sent");
  });

  it("stay small and printable whatever a caller sends", () => {
    const line = JSON.stringify(toDecisionRecord(worst));
    expect(line.length).toBeLessThan(16_000);
    expect(line).not.toMatch(/\\[un]|\p{C}/u);
  });
});

describe("overruled", () => {
  it("leaves nothing of the grant", () => {
    const refused = overruled(allow, new GatewayError("AUDIT_UNAVAILABLE", "no audit"));
    expect(refused).not.toHaveProperty("route");
    expect(refused).toMatchObject({ verdict: "deny", reason: "AUDIT_UNAVAILABLE", id: subject.id, principal: alice });
  });
});

// Fastify compiles JSON Schema with the validator that it carries.
describe("the audit's JSON schema", () => {
  const server = Fastify({
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: true } },
  });
  const accepts = async (record: unknown) => {
    const answer = await server.inject({ method: "POST", url: "/", payload: record as object });
    return { ok: answer.statusCode === 200, why: answer.body };
  };

  beforeAll(async () => {
    const { $schema: _, ...schema } = auditSchema;
    server.post("/", { schema: { body: schema } }, async () => "ok");
    await server.ready();
  });
  afterAll(() => server.close());

  it.each<[string, AuditRecord]>([
    ["an allow", toDecisionRecord(allow)],
    ["a refusal", toDecisionRecord(deny)],
    ["a refusal of the worst input", toDecisionRecord(worst)],
    ["an operation", operation],
    ["a driver", driverRecord],
  ])("takes %s", async (_, record) => {
    expect(await accepts(record)).toEqual({ ok: true, why: "ok" });
  });

  it.each<[string, Record<string, unknown>]>([
    ["a field it does not know", { ...toDecisionRecord(allow), token: "x" }],
    ["a missing field", { ...operation, user_id: undefined }],
    ["an unknown reason", { ...toDecisionRecord(allow), reason: "BECAUSE" }],
    ["a text that is too long", { ...toDecisionRecord(allow), method: "x".repeat(201) }],
    ["a wrong type", { ...toDecisionRecord(allow), held_ms: "1" }],
    ["an unknown kind", { ...driverRecord, kind: "other" }],
    ["no time", { ...driverRecord, time: "yesterday" }],
  ])("refuses %s", async (_, record) => {
    expect((await accepts(record)).ok).toBe(false);
  });
});
