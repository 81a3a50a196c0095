import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createMetrics } from "../../src/edges/http/metrics.ts";
import { type HttpOptions, type HttpServer, startHttp } from "../../src/edges/http/server.ts";
import type { ApiCall, SessionView } from "../../src/flows/api-calls.ts";
import { GatewayError } from "../../src/kernel/errors.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { displayKey, type SessionKey } from "../../src/sessions/session-key.ts";
import { parseMetrics } from "../support/metrics.ts";

const view: SessionView = {
  key: "sjns-data-dev/etl",
  owner: "alice@dev",
  profile: "default",
  driver: "gh-1",
  driverUid: "u-1",
  phase: "ready",
  createdAt: Date.UTC(2026, 0, 1),
  lastActive: undefined,
  busy: ["stream"],
  idleDeadline: undefined,
  ttlDeadline: Date.UTC(2026, 0, 2),
};

let server: HttpServer;
let calls: { readonly call: ApiCall; readonly key: SessionKey | undefined }[];
let notReady: string[];
let warnings: string[];
let failure: Error | undefined;
const metrics = createMetrics();

beforeEach(async () => {
  calls = [];
  notReady = [];
  warnings = [];
  failure = undefined;
  const options: HttpOptions = {
    address: "127.0.0.1",
    port: 0,
    cluster: "local",
    log: silentLog,
    metrics,
    notReady: () => notReady,
    warnings: () => warnings,
    keepalive: async (call, key) => {
      calls.push({ call, key });
      if (failure !== undefined) throw failure;
    },
    sessions: async (call) => {
      calls.push({ call, key: undefined });
      if (failure !== undefined) throw failure;
      return [view];
    },
  };
  server = await startHttp(options);
});

afterEach(() => server.close(100));

const url = (path: string): string => `http://127.0.0.1:${server.port}${path}`;
const post = (path: string, init: RequestInit = {}) => fetch(url(path), { method: "POST", ...init });

describe("health", () => {
  it("is answered without credentials and without naming the software", async () => {
    const answer = await fetch(url("/healthz"));
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ status: "ok" });
    expect([...answer.headers.keys()]).not.toContain("server");
    expect([...answer.headers.keys()]).not.toContain("x-powered-by");
  });

  it("is not ready until there are no reasons left", async () => {
    notReady = ["the first list of drivers is not complete"];
    const before = await fetch(url("/readyz"));
    expect(before.status).toBe(503);
    expect(await before.json()).toEqual({ ready: false, reasons: notReady, warnings: [] });
    notReady = [];
    warnings = ["namespace x cannot be read"];
    const after = await fetch(url("/readyz"));
    expect(after.status).toBe(200);
    expect(await after.json()).toEqual({ ready: true, reasons: [], warnings });
  });
});

describe("metrics", () => {
  it("holds what was measured, and the process's own", async () => {
    metrics.count("gatehouse_decisions_total", { verdict: "allow", reason: "OWNER" }, 2);
    metrics.set("gatehouse_holds", {}, 3);
    metrics.observe("gatehouse_decision_seconds", { verdict: "allow" }, 0.002);
    const answer = await fetch(url("/metrics"));
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const scrape = parseMetrics(await answer.text());
    expect(scrape.value("gatehouse_decisions_total", { reason: "OWNER" })).toBe(2);
    expect(scrape.value("gatehouse_holds")).toBe(3);
    expect(scrape.value("gatehouse_decision_seconds_bucket", { le: "0.001" })).toBe(0);
    expect(scrape.value("gatehouse_decision_seconds_bucket", { le: "0.0025" })).toBe(1);
    expect(scrape.value("process_resident_memory_bytes")).toBeGreaterThan(0);
  });
});

describe("keepalive", () => {
  it("passes the session and the credentials on and answers without a body", async () => {
    const answer = await post("/v1/sessions/sjns-data-dev/a.b/keepalive", {
      headers: { authorization: "Bearer abc", "x-request-id": "r-1", "x-forwarded-for": "10.0.0.1" },
    });
    expect(answer.status).toBe(204);
    expect(await answer.text()).toBe("");
    const [{ call, key }] = calls as [(typeof calls)[number]];
    expect(key).toEqual({ cluster: "local", namespace: "sjns-data-dev", app: "a.b" });
    expect(call).toMatchObject({
      method: "Keepalive",
      requestId: "r-1",
      sourceAddress: "127.0.0.1",
      headers: { authorization: "Bearer abc" },
    });
    expect(answer.headers.get("x-gatehouse-decision-id")).toBe(call.decisionId);
  });

  it("shows a refusal with its status, reason, message and decision id", async () => {
    failure = new GatewayError("DRIVER_STARTING", "try again", { retryAfterMs: 1500, cause: new Error("hidden") });
    const answer = await post("/v1/sessions/ns/app/keepalive");
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("2");
    expect(await answer.json()).toEqual({
      error: { reason: "DRIVER_STARTING", message: "try again", decision_id: calls[0]?.call.decisionId },
    });
  });

  it("asks for credentials where they are refused", async () => {
    failure = new GatewayError("TOKEN_EXPIRED", "expired");
    const answer = await post("/v1/sessions/ns/app/keepalive");
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toBe("Bearer");
  });

  it("gives nothing away about unknown faults", async () => {
    failure = new TypeError("the password is hush");
    const answer = await post("/v1/sessions/ns/app/keepalive");
    expect(answer.status).toBe(500);
    const body = await answer.text();
    expect(body).not.toMatch(/hush|TypeError|at /);
    expect(JSON.parse(body)).toMatchObject({ error: { reason: "INTERNAL", message: "internal error" } });
  });

  it("sees every one of several authorization headers", async () => {
    const answer = await raw(
      "POST /v1/sessions/ns/app/keepalive HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n" +
        "authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1.1 204/);
    expect(calls[0]?.call.headers).toEqual({ authorization: "Bearer a,Bearer b" });
  });

  it.each([
    ["upper case", "/v1/sessions/NS/app/keepalive"],
    ["a slash that is escaped", "/v1/sessions/ns/a%2Fb/keepalive"],
    ["a name that is too long", `/v1/sessions/ns/${"a".repeat(64)}/keepalive`],
    ["a control character", "/v1/sessions/ns/a%00/keepalive"],
  ])("refuses %s in a name", async (_, path) => {
    const answer = await post(path);
    expect(answer.status).toBe(400);
    expect(calls).toEqual([]);
  });

  it.each([
    ["JSON", { body: "{}", headers: { "content-type": "application/json" } }],
    ["text", { body: "x" }],
    ["too much", { body: "x".repeat(100_000) }],
  ])("refuses a body of %s", async (_, init) => {
    const answer = await post("/v1/sessions/ns/app/keepalive", init);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(await answer.json()).toMatchObject({ error: { reason: "HTTP_REQUEST_INVALID" } });
    expect(calls).toEqual([]);
  });
});

describe("sessions", () => {
  it("are listed with times that people and programs can read", async () => {
    const answer = await fetch(url("/v1/sessions"), { headers: { authorization: "Bearer abc" } });
    expect(displayKey({ cluster: "local", namespace: "sjns-data-dev", app: "etl" })).toBe(view.key);
    expect(await answer.json()).toEqual({
      sessions: [
        {
          session: "sjns-data-dev/etl",
          owner: "alice@dev",
          profile: "default",
          driver: "gh-1",
          driver_uid: "u-1",
          phase: "ready",
          created: "2026-01-01T00:00:00.000Z",
          last_active: null,
          busy: ["stream"],
          idle_deadline: null,
          ttl_deadline: "2026-01-02T00:00:00.000Z",
        },
      ],
    });
  });
});

describe("everything else", () => {
  it("is refused in the same form", async () => {
    const answer = await fetch(url("/nothing"));
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ error: { reason: "HTTP_PATH_UNKNOWN" } });
    expect((await post("/healthz")).status).toBe(404);
  });

  it("does not wait for requests that never end when it is closed", async () => {
    const socket = connect(server.port, "127.0.0.1");
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    socket.write("POST /v1/sessions/ns/app/keepalive HTTP/1.1\r\nhost: x\r\ncontent-le");
    socket.on("error", () => undefined);
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    await server.close(50);
    await closed;
  });
});

function raw(request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(server.port, "127.0.0.1", () => void socket.write(request));
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
  });
}
