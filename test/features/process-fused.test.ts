import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Allowed, CheckRequest, Decision, Denied } from "../../src/decisions/decision.ts";
import { fromStruct, toStruct } from "../../src/edges/envoy/encode-struct.ts";
import { createProcessHandler } from "../../src/edges/envoy/process.ts";
import { processService } from "../../src/edges/envoy/process-codec.ts";
import { beginDeciding } from "../../src/edges/envoy/process-fused.ts";
import { type ControlServer, startControlServer } from "../../src/edges/envoy/server.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { Secret } from "../../src/kernel/secret.ts";
import { driverAt } from "../support/envoy-world.ts";
import { inspectWith } from "../support/inspection.ts";
import { connectProcess, type ProcessClient, type ProcessStream } from "../support/process-client.ts";
import {
  anOperation,
  aSession,
  concat,
  decodeRequest,
  field,
  frame,
  framesIn,
  userContext,
} from "../support/spark-wire.ts";
import { until } from "../support/until.ts";

// One stream decides about a call and inspects it: what Envoy is told about the headers, and when.

const message = concat(field(1, aSession), userContext("mallory"), field(3, field(1, "x")), field(6, anOperation));

let server: ControlServer;
let client: ProcessClient;
let asked: CheckRequest[];
let errors: string[];
let patienceMs: number;
let authorize: (request: CheckRequest) => Promise<Decision>;

beforeEach(async () => {
  asked = [];
  errors = [];
  patienceMs = 5000;
  authorize = () => Promise.resolve(allowed);
  const log = { ...silentLog, error: (text: string) => errors.push(text) };
  const inspect = inspectWith({ log });
  const begin = beginDeciding({
    clock: { ...systemClock, after: (delayMs, task) => systemClock.after(Math.min(delayMs, patienceMs), task) },
    decideWithinMs: 5000,
    inspect,
    authorize(request) {
      asked.push(request);
      return authorize(request);
    },
  });
  const Process = createProcessHandler({ begin, log, newId: () => "no-decision" });
  server = await startControlServer({
    address: "127.0.0.1:0",
    services: [{ definition: processService, implementation: { Process } }],
  });
  client = connectProcess(server.address);
});

afterEach(async () => {
  client.close();
  await server.close();
});

const subject = {
  id: "d-1",
  time: 0,
  requestId: "r-1",
  sourceAddress: "10.0.0.1",
  method: "ExecutePlan",
  tokenFingerprint: "f",
  latencyMs: 1,
  heldMs: 0,
};
const driver = { ...driverAt("a", { host: "127.0.0.1", port: 1 }), token: new Secret("the-drivers-own") };
const allowed: Allowed = {
  ...subject,
  principal: {
    issuer: "https://corp",
    issuerName: "corp",
    subject: "alice",
    user: "Alice",
    groups: [],
    team: undefined,
    tokenFingerprint: "f",
    expiresAt: 0,
  },
  key: driver.key,
  driver,
  verdict: "allow",
  reason: "OWNER",
  route: { cluster: "driver|ns/a|uid-a", driver, inspect: true },
};
const denied: Denied = {
  ...subject,
  principal: allowed.principal,
  key: allowed.key,
  driver: undefined,
  verdict: "deny",
  reason: "SESSION_FORBIDDEN",
  message: "not yours",
  retryAfterMs: undefined,
  fields: {},
};

const usual: readonly (readonly [string, string])[] = [
  [":path", "/spark.connect.SparkConnectService/ExecutePlan"],
  [":authority", "localhost"],
  ["authorization", "Bearer one"],
  ["content-type", "application/grpc"],
  ["x-request-id", "r-1"],
  ["x-note", "a"],
];

function headers(stream: ProcessStream, more: readonly (readonly [string, string])[] = [], endOfStream = false): void {
  const sent = [...usual, ...more].map(([key, value]) => ({ key, raw_value: Buffer.from(value) }));
  stream.send({
    request_headers: { headers: { headers: sent }, end_of_stream: endOfStream },
    attributes: { "envoy.filters.http.ext_proc": toStruct({ "source.address": "10.0.0.1:4711" }) },
  });
}

describe("an allowed call", () => {
  test("is routed, with the driver's credential and without the client's headers, once its first message may go on", async () => {
    const stream = client.open();
    headers(stream);
    await stream.body(frame(message).subarray(0, 20));
    await until(() => asked.length === 1);
    expect(stream.answers).toHaveLength(0);
    await stream.body(frame(message).subarray(20), true);
    const [first, second] = await stream.answered(2);
    const { response } = first?.request_headers ?? {};
    expect(response?.clear_route_cache).toBe(true);
    const set = response?.header_mutation?.set_headers?.map(({ header, append_action }) => [
      header.key,
      Buffer.from(header.raw_value ?? []).toString(),
      append_action,
    ]);
    expect(set).toEqual([
      ["x-gatehouse-cluster", "driver|ns/a|uid-a", "OVERWRITE_IF_EXISTS_OR_ADD"],
      ["authorization", "Bearer the-drivers-own", "OVERWRITE_IF_EXISTS_OR_ADD"],
    ]);
    expect(response?.header_mutation?.remove_headers).toEqual([
      "authentication",
      "content-length",
      "expect",
      "trailer",
      "x-note",
    ]);
    expect(fromStruct(first?.dynamic_metadata)["gatehouse"]).toMatchObject({
      decision_id: "d-1",
      driver_uid: "uid-a",
      cluster: "driver|ns/a|uid-a",
      user_id: "alice@corp",
      method: "ExecutePlan",
    });
    expect(second?.dynamic_metadata).toBeUndefined();
    const [stamped] = framesIn(stream.forwarded);
    expect(decodeRequest(stamped!).user_context).toMatchObject({ user_id: "alice@corp", user_name: "Alice" });
    stream.halfClose();
    expect((await stream.ended).code).toBe(status.OK);
  });

  test("is asked about as a Check would: duplicates joined with a comma, the caller's address without its port", async () => {
    const stream = client.open();
    headers(stream, [
      ["authorization", "Bearer two"],
      ["X-Spark-Session-Id", "ns.a"],
    ]);
    await until(() => asked.length === 1);
    expect(asked[0]).toMatchObject({
      requestId: "r-1",
      sourceAddress: "10.0.0.1",
      path: "/spark.connect.SparkConnectService/ExecutePlan",
      host: "localhost",
      headers: { authorization: "Bearer one,Bearer two", "x-spark-session-id": "ns.a" },
    });
    stream.cancel();
  });

  test("that is not to be inspected goes on as it is", async () => {
    authorize = () => Promise.resolve({ ...allowed, route: { ...allowed.route, inspect: false } });
    const stream = client.open();
    headers(stream);
    await stream.body(Buffer.from("anything"), true);
    const answers = await stream.answered(2);
    expect(answers[0]?.request_headers?.response?.clear_route_cache).toBe(true);
    expect(stream.forwarded.toString()).toBe("anything");
    stream.halfClose();
  });

  test("without a message is refused under the decision's id", async () => {
    const stream = client.open();
    headers(stream, [], true);
    const [answer] = await stream.answered(1);
    expect(answer?.immediate_response).toMatchObject({
      grpc_status: { status: status.INVALID_ARGUMENT },
      details: "gatehouse_message_malformed",
    });
    stream.halfClose();
  });
});

describe("a call that does not go on", () => {
  test("because it is denied: with the reason, and nothing of its body is looked at", async () => {
    authorize = () => Promise.resolve(denied);
    const stream = client.open();
    headers(stream);
    await stream.body(frame(Uint8Array.of(0xff)), true);
    const [answer] = await stream.answered(1);
    expect(answer?.immediate_response).toMatchObject({
      status: { code: "Forbidden" },
      grpc_status: { status: status.PERMISSION_DENIED },
      details: "gatehouse_session_forbidden",
    });
    expect(fromStruct(answer?.dynamic_metadata)["gatehouse"]).toMatchObject({
      decision_id: "d-1",
      reason: "SESSION_FORBIDDEN",
    });
    stream.halfClose();
    expect((await stream.ended).code).toBe(status.OK);
    expect(stream.answers).toHaveLength(1);
  });

  test("because deciding broke: the stream ends with an error, on which Envoy ends the call", async () => {
    authorize = () => Promise.reject(new Error("broken"));
    const stream = client.open();
    headers(stream);
    expect((await stream.ended).code).toBe(status.INTERNAL);
    expect(stream.answers).toHaveLength(0);
    expect(errors).toHaveLength(1);
  });

  test("because deciding takes too long", async () => {
    patienceMs = 20;
    authorize = () => new Promise(() => undefined);
    const stream = client.open();
    headers(stream);
    expect((await stream.ended).code).toBe(status.INTERNAL);
    expect(stream.answers).toHaveLength(0);
  });

  test("because its client left while it was held: the decision is told", async () => {
    let aborted = false;
    authorize = (request) =>
      new Promise((resolve) => {
        request.signal.addEventListener("abort", () => {
          aborted = true;
          resolve(denied);
        });
      });
    const stream = client.open();
    headers(stream);
    await until(() => asked.length === 1);
    stream.cancel();
    await until(() => aborted, { what: "the signal" });
    expect(errors).toEqual([]);
  });
});
