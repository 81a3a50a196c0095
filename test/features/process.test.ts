import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { AuditRecord } from "../../src/decisions/audit.ts";
import { createProcessHandler } from "../../src/edges/envoy/process.ts";
import { beginDecided } from "../../src/edges/envoy/process-begin.ts";
import { processService } from "../../src/edges/envoy/process-codec.ts";
import { rpcStatus } from "../../src/edges/envoy/protos.ts";
import type { ProcessingResponse } from "../../src/edges/envoy/protos-process.ts";
import { type ControlServer, startControlServer } from "../../src/edges/envoy/server.ts";
import { GatewayError } from "../../src/kernel/errors.ts";
import { silentLog } from "../../src/kernel/log.ts";
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
  tag,
  userContext,
  varint,
} from "../support/spark-wire.ts";
import { until } from "../support/until.ts";

const decision = {
  decision_id: "d-1",
  request_id: "r-1",
  user_id: "alice@corp",
  user_name: "Alice",
  method: "ExecutePlan",
  session: "ns/app",
  driver_uid: "uid-1",
  cluster: "driver|ns/app|uid-1",
  inspect: true,
};
const upload = { ...decision, method: "AddArtifacts" };
const message = concat(field(1, aSession), userContext("mallory"), field(3, field(1, "x")), field(6, anOperation));

let server: ControlServer;
let client: ProcessClient;
let records: AuditRecord[];
let write: (record: AuditRecord) => Promise<void>;
let errors: string[];

beforeEach(async () => {
  records = [];
  errors = [];
  write = (record) => {
    records.push(record);
    return Promise.resolve();
  };
  const log = { ...silentLog, error: (text: string) => errors.push(text) };
  const inspect = inspectWith({
    log,
    audit: { write: (record) => write(record) },
    maxMessageBytes: 200 * 1024 * 1024,
    connectSessionBelongsElsewhere: (session) => session.startsWith("dead"),
  });
  const Process = createProcessHandler({ begin: beginDecided(inspect), log, newId: () => "no-decision" });
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

function immediate(answer: ProcessingResponse | undefined) {
  const response = answer?.immediate_response;
  const headers = Object.fromEntries(
    (response?.headers?.set_headers ?? []).map(({ header }) => [
      header.key,
      Buffer.from(header.raw_value ?? []).toString(),
    ]),
  );
  return { code: response?.grpc_status?.status, headers, details: response?.details };
}

async function refused(stream: ProcessStream, at = 1) {
  const answers = await stream.answered(at);
  // As Envoy does as soon as it has ended the call.
  stream.halfClose();
  expect(await stream.ended).toMatchObject({ code: status.OK });
  expect(stream.answers).toHaveLength(at);
  return immediate(answers[at - 1]);
}

describe("a call that is well-formed", () => {
  test("goes on stamped: headers first, then the body with its end", async () => {
    const stream = client.open();
    stream.headers(decision);
    await stream.body(frame(message), true);
    const answers = await stream.answered(2);
    expect(answers[0]?.request_headers).toBeDefined();
    expect(answers[1]?.request_body?.response?.body_mutation?.streamed_response.end_of_stream).toBe(true);
    const [stamped] = framesIn(stream.forwarded);
    expect(decodeRequest(stamped!).user_context).toMatchObject({ user_id: "alice@corp", user_name: "Alice" });
    stream.halfClose();
    expect((await stream.ended).code).toBe(status.OK);
  });

  test("tells the access log nothing that ext_authz has told", async () => {
    const stream = client.open();
    stream.headers(decision);
    await stream.body(frame(message), true);
    const answers = await stream.answered(2);
    expect(answers.map(({ dynamic_metadata }) => dynamic_metadata)).toEqual([undefined, undefined]);
    stream.halfClose();
  });

  test("in chunks of one byte: nothing is answered before the message is whole and recorded", async () => {
    let release: (() => void) | undefined;
    write = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    const stream = client.open();
    stream.headers(decision);
    for (const byte of frame(message)) await stream.body(Uint8Array.of(byte));
    await until(() => release !== undefined);
    expect(stream.answers).toHaveLength(0);
    release?.();
    await stream.body(new Uint8Array(0), true);
    await stream.answered(3);
    expect(framesIn(stream.forwarded)).toHaveLength(1);
    stream.halfClose();
  });

  test("a long message flows while it is read, but not to its end", async () => {
    const stream = client.open();
    stream.headers(decision);
    const long = frame(concat(field(1, aSession), field(4, new Uint8Array(300_000))));
    for (let at = 0; at < 200_000; at += 50_000) await stream.body(long.subarray(at, at + 50_000));
    await until(() => stream.forwarded.length === 200_000);
    expect(records).toHaveLength(0);
    await stream.body(long.subarray(200_000), true);
    await until(() => stream.forwarded.length > long.length);
    expect(records).toHaveLength(1);
    expect(framesIn(stream.forwarded)).toHaveLength(1);
    stream.halfClose();
  });

  test("2,000 artifacts in one call: one record, all stamped", async () => {
    const stream = client.open();
    stream.headers(upload);
    const part = frame(concat(field(1, aSession), field(5, new Uint8Array(100))));
    const hundred = concat(...Array.from({ length: 100 }, () => part));
    for (let round = 0; round < 20; round += 1) await stream.body(hundred, round === 19);
    await until(() => stream.forwarded.length > 2000 * part.length);
    await until(() => framesIn(stream.forwarded).length === 2000);
    expect(records).toHaveLength(1);
    stream.halfClose();
  });
});

describe("a refusal", () => {
  const cases: readonly (readonly [string, Uint8Array, string, number])[] = [
    ["a group", frame(concat(message, tag(9, 3))), "MESSAGE_MALFORMED", status.INVALID_ARGUMENT],
    ["field 0", frame(concat(message, tag(0, 0), [0])), "MESSAGE_MALFORMED", status.INVALID_ARGUMENT],
    ["an end that runs past", frame(concat(message, [0x1a, 40])), "MESSAGE_MALFORMED", status.INVALID_ARGUMENT],
    ["a second session_id", frame(concat(message, field(1, aSession))), "MESSAGE_MALFORMED", status.INVALID_ARGUMENT],
    ["a compressed message", frame(message, 1), "MESSAGE_COMPRESSED", status.UNIMPLEMENTED],
    ["a huge length", Uint8Array.of(0, 0xff, 0, 0, 0), "MESSAGE_TOO_LARGE", status.RESOURCE_EXHAUSTED],
    ["a session of an earlier driver", frame(field(1, `dead${aSession.slice(4)}`)), "SESSION_CHANGED", status.INTERNAL],
  ];
  test.each(cases)("%s: the only answer is the refusal, and the driver sees nothing", async (_, body, reason, code) => {
    const stream = client.open();
    stream.headers(decision);
    await stream.body(body, true);
    const answer = await refused(stream);
    expect(answer).toMatchObject({ code, details: `gatehouse_${reason.toLowerCase()}` });
    expect(answer.headers).toMatchObject({ "grpc-status": String(code), "x-gatehouse-decision-id": "d-1" });
    const details = rpcStatus.decode(Buffer.from(answer.headers["grpc-status-details-bin"]!, "base64"));
    expect(details.code).toBe(code);
    expect(decodeURIComponent(answer.headers["grpc-message"]!)).toBe(details.message);
    expect(records).toMatchObject([{ verdict: "deny", reason }]);
  });

  test("of a call without a body, under the decision's own id", async () => {
    const stream = client.open();
    stream.headers(decision, true);
    const answer = await refused(stream);
    expect(answer).toMatchObject({ code: status.INVALID_ARGUMENT, headers: { "x-gatehouse-decision-id": "d-1" } });
  });

  test("of a body that ends inside a message or has none", async () => {
    for (const body of [new Uint8Array(0), frame(message).subarray(0, 30)]) {
      const stream = client.open();
      stream.headers(decision);
      await stream.body(body, true);
      expect(await refused(stream)).toMatchObject({ code: status.INVALID_ARGUMENT });
    }
    const headersOnly = client.open();
    headersOnly.headers(decision, true);
    expect(await refused(headersOnly)).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test("without a decision of ext_authz", async () => {
    for (const metadata of [undefined, { ...decision, user_id: "" }, { ...decision, method: "Nope" }]) {
      const stream = client.open();
      stream.headers(metadata);
      const answer = await refused(stream);
      expect(answer).toMatchObject({ code: status.INTERNAL, details: "gatehouse_decision_missing" });
      expect(answer.headers["x-gatehouse-decision-id"]).toBe("no-decision");
    }
  });

  test("because the audit fails: UNAVAILABLE, and the driver sees nothing", async () => {
    write = () => Promise.reject(new GatewayError("AUDIT_UNAVAILABLE", "disk full"));
    const stream = client.open();
    stream.headers(decision);
    await stream.body(frame(message), true);
    expect(await refused(stream)).toMatchObject({ code: status.UNAVAILABLE, details: "gatehouse_audit_unavailable" });
  });

  test("of a later message: what was approved stays, the rest is refused", async () => {
    const stream = client.open();
    stream.headers(upload);
    await stream.body(frame(concat(field(1, aSession), field(5, "one"))));
    await stream.answered(2);
    await stream.body(frame(field(1, anOperation)), true);
    expect(await refused(stream, 3)).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(framesIn(stream.forwarded)).toHaveLength(1);
  });

  test("of request trailers, which no gRPC client sends", async () => {
    const stream = client.open();
    stream.headers(decision);
    stream.send({ request_trailers: { trailers: { headers: [] } } });
    expect(await refused(stream)).toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});

describe("a stream out of order ends with an error, on which Envoy ends the call", () => {
  test("a body without headers, headers twice, a response's part", async () => {
    const early = client.open();
    await early.body(frame(message));
    expect((await early.ended).code).toBe(status.INTERNAL);
    const twice = client.open();
    twice.headers(decision);
    twice.headers(decision);
    expect((await twice.ended).code).toBe(status.INTERNAL);
    const response = client.open();
    response.headers(decision);
    response.send({ response_headers: { headers: { headers: [] } } });
    expect((await response.ended).code).toBe(status.INTERNAL);
    expect(errors).toHaveLength(3);
  });
});

test("a call that goes away leaves no trace, and the next one is served", async () => {
  const gone = client.open();
  gone.headers(decision);
  await gone.body(frame(message).subarray(0, 20));
  gone.cancel();
  expect((await gone.ended).code).toBe(status.CANCELLED);
  const next = client.open();
  next.headers(decision);
  await next.body(frame(message), true);
  await next.answered(2);
  next.halfClose();
  expect((await next.ended).code).toBe(status.OK);
  expect(errors).toEqual([]);
});

test("a stream that Envoy closes before the request's end does not end with OK: Envoy would pass the rest on unseen", async () => {
  for (const sent of [undefined, frame(message).subarray(0, 20), frame(message)]) {
    const stream = client.open();
    stream.headers(upload);
    if (sent !== undefined) await stream.body(sent);
    stream.halfClose();
    expect((await stream.ended).code).toBe(status.CANCELLED);
  }
  const silent = client.open();
  silent.halfClose();
  expect((await silent.ended).code).toBe(status.CANCELLED);
  expect(errors).toEqual([]);
});

test("trailers are refused, and the refusal is recorded", async () => {
  const stream = client.open();
  stream.headers(decision);
  await stream.body(frame(message).subarray(0, 20));
  stream.send({ request_trailers: {} });
  const [answer] = await stream.answered(1);
  expect(answer?.immediate_response?.grpc_status?.status).toBe(status.INVALID_ARGUMENT);
  expect(records).toMatchObject([
    { kind: "operation", verdict: "deny", reason: "MESSAGE_MALFORMED", decision_id: "d-1" },
  ]);
});

test("a driver that does not take the bytes stops the client's: memory stays bounded", async () => {
  const size = 64 * 1024 * 1024;
  const stream = client.open();
  stream.headers(decision);
  const head = concat(field(1, aSession), tag(4, 2), varint(size));
  const prefix = new Uint8Array(5);
  new DataView(prefix.buffer).setUint32(1, head.length + size);
  await stream.body(concat(prefix, head));
  await stream.body(new Uint8Array(65_536));
  await stream.answered(1);
  stream.pause();
  let sent = 1;
  const chunk = new Uint8Array(65_536);
  const pump = (async () => {
    for (; sent < size / chunk.length; sent += 1) await stream.body(chunk, sent === size / chunk.length - 1);
  })();
  let before = -1;
  await until(
    () =>
      settledAt(
        () => sent,
        before,
        (now) => (before = now),
      ),
    { what: "the client is stopped" },
  );
  expect(sent * chunk.length).toBeLessThan(8 * 1024 * 1024);
  stream.resume();
  await pump;
  const last = (): ProcessingResponse | undefined => stream.answers.at(-1);
  await until(() => last()?.request_body?.response?.body_mutation?.streamed_response.end_of_stream === true);
  expect(stream.forwarded.length).toBeGreaterThan(size);
  stream.halfClose();
});

/** True once the number has not moved for a while. */
async function settledAt(read: () => number, before: number, keep: (now: number) => void): Promise<boolean> {
  const now = read();
  await new Promise<void>((resolve) => {
    setTimeout(resolve, 300);
  });
  keep(now);
  return now === before && read() === now;
}
