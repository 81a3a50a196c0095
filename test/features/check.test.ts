import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CheckRequest, Decision } from "../../src/decisions/decision.ts";
import { createAuthorize } from "../../src/flows/authorize.ts";
import { GatewayError } from "../../src/kernel/errors.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { type Reason, reasons } from "../../src/kernel/reasons.ts";
import { setForDriver } from "../../src/snapshots/check-headers.ts";
import { alice, bob, depsWith, driverOf } from "../support/authorize-deps.ts";
import {
  type CheckEdge,
  type ReadCheck,
  readDenial,
  startCheckEdge,
  type WireCheck,
  wireCheck,
} from "../support/check-client.ts";
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

/** What Envoy sets for the driver. */
const setHeaders = ({ headers }: ReadCheck) =>
  Object.fromEntries([...headers].filter(([name]) => setForDriver.some((one) => one === name)));

const removed = ({ headers }: ReadCheck) => (headers.get("x-envoy-auth-headers-to-remove") ?? "").split(",");

describe("an allowed call", () => {
  it("gets its cluster, the driver's own credential and the decision id", async () => {
    const seen = serve();
    const response = await edge.check(wireCheck({ ...asAlice, "x-request-id": "req-9" }));
    expect(response.status).toBe(200);
    expect(setHeaders(response)).toEqual({
      "x-gatehouse-cluster": "driver|sjns-data-dev/etl|uid-1",
      authorization: "Bearer driver-token-of-etl",
    });
    expect(response.facts).toEqual({
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
      }),
    );
    expect(removed(response).sort()).toEqual([
      "authentication",
      // The client's own, which Envoy never sends on.
      "connection",
      "content-length",
      "cookie",
      "expect",
      "trailer",
      "x-envoy-external-address",
      "x-envoy-upstream-rq-timeout-ms",
      "x-forwarded-for",
      "x-gatehouse-decision-id",
      "x-spark-session-id",
    ]);
  });

  it.each([
    " Alice ",
    "Jürgen Müller",
    "a&inspect=false&user_id=root",
    "100%25 %",
    "アリス🎉",
    "a\r\nx-gatehouse-cluster: other",
    "\u0000",
    "=",
  ])("says who the caller is to the letter: %j", async (user) => {
    serve({
      registry: { ...absent, byKey: () => driverOf(alice) },
      verifier: { verify: async () => ({ ...alice, user }) },
    });
    const { status, facts } = await edge.check(wireCheck(asAlice));
    expect(status).toBe(200);
    expect(facts).toMatchObject({ user_name: user, user_id: "alice-sub@dev", inspect: true });
    expect(Object.keys(facts)).toHaveLength(9);
  });

  it("is refused where its facts are no text at all", async () => {
    serve({ verifier: { verify: async () => ({ ...alice, user: "\ud800" }) } });
    expect(readDenial(await edge.check(wireCheck(asAlice)))).toMatchObject({ reason: "INTERNAL" });
  });

  it("loses a grpc-encoding that would compress", async () => {
    serve();
    const response = await edge.check(wireCheck({ ...asAlice, "grpc-encoding": "gzip" }));
    expect(removed(response)).toContain("grpc-encoding");
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
      expect(removed(response)).not.toContain(name);
    }
  });

  it("to a driver without a token goes without any credential", async () => {
    serve({
      registry: { ...absent, byKey: () => driverOf(alice, { token: undefined }) },
      profile: () => ({ inspect: false, allowTokenless: true }),
    });
    const response = await edge.check(wireCheck(asAlice));
    expect(setHeaders(response)).toEqual({ "x-gatehouse-cluster": "driver|sjns-data-dev/etl|uid-1" });
    expect(response.facts).toMatchObject({ inspect: false });
    expect(removed(response)).toEqual(expect.arrayContaining(["authorization", "authentication"]));
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
    expect(response.facts).toMatchObject({ decision_id: "decision-1", reason: "SESSION_FORBIDDEN" });
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
  const { path } = wireCheck(asAlice);
  it.each<[string, WireCheck, Reason]>([
    ["no headers", { path, headers: { host: "x" } }, "TOKEN_MISSING"],
    ["no path", { path: "/", headers: { host: "x" } }, "METHOD_UNKNOWN"],
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
    const denial = readDenial(await edge.check({ path: `/${"x".repeat(60_000)}%00`, headers: { host: "x" } }));
    expect(denial.reason).toBe("METHOD_UNKNOWN");
    expect(JSON.stringify(seen.records).length).toBeLessThan(2_000);
  });

  it("header values that are not UTF-8", async () => {
    const seen = serve();
    expect(readDenial(await edge.check(wireCheck({ authorization: "\xff\xfe" }))).code).not.toBe(0);
    expect(seen.called).toEqual([]);
  });

  it("a method that HTTP/1.1 does not know", async () => {
    const seen = serve();
    const denial = readDenial(await edge.check({ ...wireCheck(asAlice), method: "POSTS" }));
    expect(denial).toMatchObject({ reason: "METHOD_UNKNOWN", decisionId: "decision-1" });
    expect(seen.records).toMatchObject([{ verdict: "deny", reason: "METHOD_UNKNOWN" }]);
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
    await expect(pending.answer).rejects.toThrow("socket hang up");
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
