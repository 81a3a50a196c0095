import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CheckRequest, Decision } from "../../src/decisions/decision.ts";
import { fromStruct } from "../../src/edges/envoy/encode-struct.ts";
import type { CheckResponse } from "../../src/edges/envoy/protos-check.ts";
import { createAuthorize } from "../../src/flows/authorize.ts";
import { GatewayError } from "../../src/kernel/errors.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { type Reason, reasons } from "../../src/kernel/reasons.ts";
import { alice, bob, depsWith, driverOf } from "../support/authorize-deps.ts";
import { type CheckEdge, readDenial, startCheckEdge, wireCheck } from "../support/check-client.ts";
import { until } from "../support/until.ts";

const asAlice = { authorization: "Bearer alice", "x-spark-session-id": "sjns-data-dev.etl" };
const absent = { synced: true, byKey: () => undefined, isEnding: () => false };

/** One edge for all tests; each sets what decides. */
let edge: CheckEdge;
let authorize: (request: CheckRequest) => Promise<Decision>;
const logged: { message: string; fields: unknown }[] = [];

beforeAll(async () => {
  const log = { ...silentLog, error: (message: string, fields?: unknown) => void logged.push({ message, fields }) };
  edge = await startCheckEdge((request) => authorize(request), { log });
});
afterAll(() => edge.close());

function serve(changes: Parameters<typeof depsWith>[0] = {}) {
  const { deps, seen } = depsWith(changes);
  authorize = createAuthorize(deps);
  return seen;
}

const setHeaders = (response: CheckResponse) =>
  Object.fromEntries((response.ok_response?.headers ?? []).map(({ header }) => [header.key, header.value]));

describe("an allowed call", () => {
  it("gets its cluster, the driver's own credential and the decision id", async () => {
    const seen = serve();
    const response = await edge.check(wireCheck({ ...asAlice, "x-request-id": "req-9" }));
    expect(response.status.code ?? 0).toBe(0);
    expect(setHeaders(response)).toEqual({
      "x-gatehouse-cluster": "driver|sjns-data-dev/etl|uid-1",
      authorization: "Bearer driver-token-of-etl",
    });
    const options = [
      ...(response.ok_response?.headers ?? []),
      ...(response.ok_response?.response_headers_to_add ?? []),
    ];
    for (const option of options) {
      expect(option.append_action).toBe("OVERWRITE_IF_EXISTS_OR_ADD");
      expect(option.header.raw_value).toBeUndefined();
    }
    expect(response.ok_response?.response_headers_to_add).toMatchObject([
      { header: { key: "x-gatehouse-decision-id", value: "decision-1" } },
    ]);
    expect(fromStruct(response.dynamic_metadata)).toEqual({
      decision_id: "decision-1",
      user_id: "alice-sub@dev",
      user_name: "alice",
      method: "ExecutePlan",
      session: "sjns-data-dev/etl",
      driver_uid: "uid-1",
      cluster: "driver|sjns-data-dev/etl|uid-1",
      inspect: true,
      request_id: "req-9",
    });
    expect(seen.records).toMatchObject([{ source_address: "127.0.0.9", request_id: "req-9" }]);
  });

  it("takes nothing to the driver beyond the allow-list", async () => {
    serve();
    const response = await edge.check(
      wireCheck({
        ...asAlice,
        "content-type": "application/grpc",
        te: "trailers",
        "user-agent": "pyspark",
        "grpc-timeout": "10S",
        "grpc-accept-encoding": "gzip",
        "grpc-encoding": "identity",
        "x-forwarded-for": "1.2.3.4",
        "x-forwarded-proto": "https",
        "x-request-id": "1",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-gatehouse-decision-id": "spoofed",
        cookie: "a=b",
        host: "x",
        "content-length": "10",
      }),
    );
    const removed = [...(response.ok_response?.headers_to_remove ?? [])].sort();
    expect(removed).toEqual([
      "authentication",
      "content-length",
      "cookie",
      "x-envoy-upstream-rq-timeout-ms",
      "x-forwarded-for",
      "x-gatehouse-decision-id",
      "x-spark-session-id",
    ]);
  });

  it("loses a grpc-encoding that would compress", async () => {
    serve();
    const response = await edge.check(wireCheck({ ...asAlice, "grpc-encoding": "gzip" }));
    expect(response.ok_response?.headers_to_remove).toContain("grpc-encoding");
  });

  // Envoy removes after it sets: naming a header that we set would undo the decision.
  it("keeps the headers that we set although the caller sent some of those names", async () => {
    serve();
    const spoofed = { "x-gatehouse-cluster": "driver|other/app|u", "x-gatehouse-inspect": "off" };
    const response = await edge.check(wireCheck({ ...asAlice, ...spoofed }));
    expect(setHeaders(response)).toMatchObject({
      "x-gatehouse-cluster": "driver|sjns-data-dev/etl|uid-1",
    });
    for (const name of Object.keys(setHeaders(response))) {
      expect(response.ok_response?.headers_to_remove).not.toContain(name);
    }
  });

  it("to a driver without a token goes without any credential", async () => {
    serve({
      registry: { ...absent, byKey: () => driverOf(alice, { token: undefined }) },
      profile: () => ({ inspect: false, allowTokenless: true }),
    });
    const response = await edge.check(wireCheck(asAlice));
    expect(setHeaders(response)).toEqual({ "x-gatehouse-cluster": "driver|sjns-data-dev/etl|uid-1" });
    expect(fromStruct(response.dynamic_metadata)).toMatchObject({ inspect: false });
    expect(response.ok_response?.headers_to_remove).toEqual(
      expect.arrayContaining(["authorization", "authentication"]),
    );
  });
});

describe("a refused call", () => {
  it("reads as one clean gRPC error", async () => {
    serve();
    const response = await edge.check(wireCheck({ ...asAlice, authorization: "Bearer bob" }));
    expect(readDenial(response)).toMatchObject({
      code: 7,
      reason: "SESSION_FORBIDDEN",
      decisionId: "decision-1",
      retryAfterMs: undefined,
      metadata: {
        session: "sjns-data-dev/etl",
        user: "bob",
        decision_id: "decision-1",
        errorClass: "GATEHOUSE.SESSION_FORBIDDEN",
      },
    });
    expect(fromStruct(response.dynamic_metadata)).toMatchObject({
      decision_id: "decision-1",
      reason: "SESSION_FORBIDDEN",
    });
  });

  it.each(Object.keys(reasons) as Reason[])("for %s is a refusal beyond doubt", async (reason) => {
    serve({ verifier: { verify: () => Promise.reject(new GatewayError(reason, "why", { retryAfterMs: 1500 })) } });
    const denial = readDenial(await edge.check(wireCheck(asAlice)));
    expect(denial).toMatchObject({ reason, retryAfterMs: 1500 });
    expect(denial.code).not.toBe(0);
  });

  it("closes the client's Spark session where its driver is gone", async () => {
    serve({ verifier: { verify: () => Promise.reject(new GatewayError("SESSION_CHANGED", "the driver is gone")) } });
    const denial = readDenial(await edge.check(wireCheck(asAlice)));
    expect(denial).toMatchObject({ code: 13, metadata: { errorClass: "INVALID_HANDLE.SESSION_CHANGED" } });
  });

  it.each([
    ["ASCII", "x"],
    ["bytes that triple", "%"],
    ["bytes that grow ninefold", "漢"],
    ["surrogate pairs", "🎉"],
  ])("stays within 6 KiB with a long log of %s, and keeps the newest lines", async (_, character) => {
    const lines = Array.from({ length: 40 }, (_, i) => `${i}: ${character.repeat(60)}`);
    const failure = new GatewayError("DRIVER_FAILED", ["the driver ended with exit code 1", ...lines].join("\n"));
    serve({ registry: absent, acquire: () => Promise.reject(failure) });
    const denial = readDenial(await edge.check(wireCheck(asAlice)));
    expect(denial.bytes).toBeLessThanOrEqual(6 * 1024);
    const told = denial.message.split("\n");
    expect(told[0]).toBe("the driver ended with exit code 1");
    expect(told[1]).toBe("…");
    expect(told.at(-1)).toBe(lines.at(-1));
    for (const line of told.slice(2)) expect(lines).toContain(line);
  });

  it.each(["x", "漢", "\u0000", "🎉", "%"])("stays within 6 KiB with one endless line of %j", async (character) => {
    const endless = character.repeat(100_000);
    const error = new GatewayError("DRIVER_FAILED", endless, {
      fields: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`field${i}`, endless])),
    });
    serve({
      verifier: { verify: async () => ({ ...alice, user: endless }) },
      registry: absent,
      acquire: () => Promise.reject(error),
    });
    const denial = readDenial(await edge.check(wireCheck(asAlice)));
    expect(denial.bytes).toBeLessThanOrEqual(6 * 1024);
    expect(denial.message.length).toBeGreaterThan(100);
  });

  it("never says what the clients take for orders", async () => {
    const fields = { errorId: "1", stackTrace: "x", classes: "not json", messageParameters: "not json", plain: "kept" };
    serve({ verifier: { verify: () => Promise.reject(new GatewayError("INTERNAL", "m", { fields })) } });
    const { metadata } = readDenial(await edge.check(wireCheck(asAlice)));
    expect(Object.keys(metadata).sort()).toEqual(["decision_id", "errorClass", "plain"]);
  });
});

describe("hostile and broken checks are refused", () => {
  const { attributes } = wireCheck(asAlice) as { attributes: { request: { http: Record<string, unknown> } } };
  it.each<[string, Record<string, unknown>]>([
    ["no attributes", {}],
    ["no request", { attributes: {} }],
    ["no HTTP request", { attributes: { request: {} } }],
  ])("%s", async (_, request) => {
    serve();
    const denial = readDenial(await edge.check(request));
    expect(denial).toMatchObject({ reason: "INTERNAL", code: 13, decisionId: "edge-1" });
    expect(denial.message).toBe("internal error (decision edge-1)");
  });

  it.each<[string, Record<string, unknown>, Reason]>([
    ["an empty HTTP request", { attributes: { request: { http: {} } } }, "METHOD_UNKNOWN"],
    ["no headers", { attributes: { request: { http: { path: attributes.request.http["path"] } } } }, "TOKEN_MISSING"],
    ["two credentials", wireCheck({ authorization: "Bearer alice,Bearer alice" }), "CREDENTIALS_AMBIGUOUS"],
    ["both kinds of credential", wireCheck({ ...asAlice, authentication: "Bearer alice" }), "CREDENTIALS_AMBIGUOUS"],
    ["upper-case names", wireCheck({ ...asAlice, Authentication: "Bearer alice" }), "CREDENTIALS_AMBIGUOUS"],
    ["a token of 60 KiB", wireCheck({ authorization: `Bearer ${"a".repeat(60 * 1024)}` }), "TOKEN_MALFORMED"],
    ["two sessions", wireCheck({ ...asAlice, "x-spark-session-id": "a.b,c.d" }), "SESSION_KEY_INVALID"],
    ["a session of 60 KiB", wireCheck({ ...asAlice, "x-spark-session-id": "a".repeat(60_000) }), "SESSION_KEY_INVALID"],
    ["__proto__ as a header", wireCheck({ ["__proto__"]: "x" }), "TOKEN_MISSING"],
  ])("%s", async (_, request, reason) => {
    const seen = serve();
    const denial = readDenial(await edge.check(request));
    expect(denial.reason).toBe(reason);
    expect(denial.bytes).toBeLessThanOrEqual(6 * 1024);
    expect(seen.records).toMatchObject([{ verdict: "deny", reason }]);
    expect(seen.called).toEqual([]);
  });

  it("a path of 60 KiB is cut in the audit and in the answer", async () => {
    const seen = serve();
    const http = { ...attributes.request.http, path: `/${"x".repeat(60_000)}\u0000` };
    const denial = readDenial(await edge.check({ attributes: { request: { http } } }));
    expect(denial.reason).toBe("METHOD_UNKNOWN");
    expect(JSON.stringify(seen.records).length).toBeLessThan(2_000);
  });

  it("header values that are not UTF-8", async () => {
    const seen = serve();
    // attributes(1) { request(4) { http(2) { headers(3) { key(1): "authorization", value(2): FF FE } } } }
    const entry = Buffer.concat([Buffer.from("\x0a\x0dauthorization\x12\x02", "latin1"), Buffer.from([0xff, 0xfe])]);
    const nested = [0x1a, 0x12, 0x22, 0x0a].reduce(
      (inner, tag) => Buffer.concat([Buffer.from([tag, inner.length]), inner]),
      entry,
    );
    expect(readDenial(await edge.check(nested)).code).not.toBe(0);
    expect(seen.called).toEqual([]);
  });

  it.each([
    ["bytes that are no message", Buffer.from([0xff, 0xff, 0xff])],
    ["a length past the end", Buffer.from([0x0a, 0x7f, 0x00])],
  ])("%s end in an error or a refusal, never in an answer that allows", async (_, bytes) => {
    serve();
    const outcome = await edge.check(bytes).then(readDenial, (error: { code: number }) => error);
    expect(outcome.code).not.toBe(0);
  });

  it("a decision that never comes about", async () => {
    authorize = () => Promise.reject(new Error("broken"));
    expect(readDenial(await edge.check(wireCheck(asAlice)))).toMatchObject({ reason: "INTERNAL" });
    authorize = () => {
      throw new Error("broken");
    };
    expect(readDenial(await edge.check(wireCheck(asAlice)))).toMatchObject({ reason: "INTERNAL" });
    authorize = async () => ({}) as Decision;
    expect(readDenial(await edge.check(wireCheck(asAlice)))).toMatchObject({ reason: "INTERNAL" });
    expect(logged.length).toBeGreaterThanOrEqual(3);
  });
});

describe("holds", () => {
  it("end with the call: the wait is told and the refusal recorded", async () => {
    let told: AbortSignal | undefined;
    const seen = serve({
      registry: absent,
      acquire: ({ signal }) => {
        told = signal;
        return new Promise(() => undefined);
      },
    });
    const pending = edge.begin(wireCheck(asAlice));
    await until(() => told !== undefined);
    pending.cancel();
    await expect(pending.answer).rejects.toMatchObject({ code: 1 });
    await until(() => seen.records.length === 1);
    expect(told?.aborted).toBe(true);
    expect(seen.records).toMatchObject([{ reason: "REQUEST_CANCELLED" }]);
  });

  it("refuse the driver that another user's start won", async () => {
    const seen = serve({ registry: absent, acquire: async () => ({ driver: driverOf(bob), heldMs: 5 }) });
    expect(readDenial(await edge.check(wireCheck(asAlice))).reason).toBe("SESSION_FORBIDDEN");
    expect(seen.called).toEqual([]);
  });
});

describe("an audit that cannot write", () => {
  it("refuses the call, which may be tried again", async () => {
    serve({ audit: { write: () => Promise.reject(new Error("disk full")) } });
    expect(readDenial(await edge.check(wireCheck(asAlice)))).toMatchObject({
      code: 14,
      reason: "AUDIT_UNAVAILABLE",
      retryAfterMs: 1000,
    });
  });
});
