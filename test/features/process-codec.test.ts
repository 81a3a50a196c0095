import { describe, expect, test } from "vitest";
import { toStruct } from "../../src/edges/envoy/encode-struct.ts";
import { decodeProcessingRequest } from "../../src/edges/envoy/process-decode.ts";
import { encodeProcessingResponse } from "../../src/edges/envoy/process-encode.ts";
import { codec } from "../../src/edges/envoy/protos.ts";
import type { ProcessingRequest, ProcessingResponse } from "../../src/edges/envoy/protos-process.ts";
import type { Struct } from "../../src/edges/envoy/protos-types.ts";
import { concat, field, number, tag } from "../support/spark-wire.ts";

const requests = codec<ProcessingRequest>("envoy.service.ext_proc.v3.ProcessingRequest");
const responses = codec<ProcessingResponse>("envoy.service.ext_proc.v3.ProcessingResponse");
const namespace = "envoy.filters.http.ext_authz";

/** A repeatable source of chance: 0 to `below`, exclusive. */
function chance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Chance = ReturnType<typeof chance>;

const bytesOf = (pick: Chance, most: number): Buffer =>
  Buffer.from(Array.from({ length: pick(most + 1) }, () => pick(256)));
const textOf = (pick: Chance): string => ["", "x", "Grüße", "a".repeat(200), "\u{1f512}", "key"][pick(6)] ?? "";

function aMetadata(pick: Chance): NonNullable<ProcessingRequest["metadata_context"]> {
  const struct = (): Struct =>
    toStruct({
      [textOf(pick)]: textOf(pick),
      flag: pick(2) === 1,
      count: pick(9),
      nothing: null,
      list: [textOf(pick), 1],
      inner: { text: textOf(pick) },
    });
  const names = [namespace, "other", ""].slice(pick(3));
  return { filter_metadata: Object.fromEntries(names.map((name) => [name, struct()])) };
}

function aRequest(pick: Chance): ProcessingRequest {
  const end_of_stream = pick(2) === 1;
  const headers = Array.from({ length: pick(4) }, () => ({
    key: textOf(pick),
    ...(pick(2) === 1 ? { value: textOf(pick) } : { raw_value: bytesOf(pick, 20) }),
  }));
  const part = [
    { request_headers: { headers: { headers }, end_of_stream } },
    { request_body: { body: bytesOf(pick, 300), end_of_stream } },
    { response_headers: { headers: { headers }, end_of_stream } },
    { response_body: { body: bytesOf(pick, 300), end_of_stream } },
    { request_trailers: { trailers: { headers } } },
    { response_trailers: { trailers: { headers } } },
    {},
  ][pick(7)];
  return pick(3) === 0 ? { ...part } : { ...part, metadata_context: aMetadata(pick) };
}

/** Fields that neither codec knows, and numbers that are longer than they need be. */
const noise = (pick: Chance): Uint8Array =>
  concat(
    ...[
      field(99, "later"),
      number(98, 7),
      [0xc0, 0x06, 0x81, 0x80, 0x80, 0x00],
      concat(tag(97, 5), [1, 2, 3, 4]),
    ].slice(pick(4)),
  );

/** What inspection reads of a message, in whichever codec's form. */
function read(message: ProcessingRequest): unknown {
  const { request, request_headers: headers, request_body: body } = message;
  const struct = headers && message.metadata_context?.filter_metadata?.[namespace];
  return {
    request,
    headers: headers?.headers?.headers
      // What is empty, the general codec leaves out.
      .map((header) => Object.assign({ key: "", value: "", raw_value: Buffer.alloc(0) }, header))
      .map(({ key, value, raw_value: raw }) => [key, value, Buffer.from(raw).toString("hex")]),
    body: body && Buffer.from(body.body ?? []).toString("hex"),
    end: (headers ?? body)?.end_of_stream === true,
    metadata:
      struct &&
      Object.fromEntries(
        Object.entries(struct.fields)
          .map(([key, value]) => [key, value.stringValue ?? value.boolValue] as const)
          .sort(([a], [b]) => a.localeCompare(b)),
      ),
  };
}

/** The general codec leaves out an empty header map, and says nothing of a header's absent parts. */
function expected(message: ProcessingRequest): unknown {
  const { request_headers: headers } = message;
  if (headers === undefined || headers.headers !== undefined) return read(message);
  return read({ ...message, request_headers: { ...headers, headers: { headers: [] } } });
}

describe("decoding", () => {
  test("reads what the general codec reads, among fields that nobody knows", () => {
    const pick = chance(1);
    for (let round = 0; round < 3000; round += 1) {
      const bytes = Buffer.from(concat(noise(pick), requests.encode(aRequest(pick)), noise(pick)));
      expect(read(decodeProcessingRequest(bytes))).toEqual(expected(requests.decode(bytes)));
    }
  });

  test("of a message that is cut off: an error, or what is read of the whole fields that are left", () => {
    const pick = chance(2);
    for (let round = 0; round < 300; round += 1) {
      const whole = requests.encode(aRequest(pick));
      for (let length = 0; length < whole.length; length += 1 + pick(5)) {
        const cut = Buffer.from(whole.subarray(0, length));
        const ours = attempt(() => read(decodeProcessingRequest(cut)));
        if (ours !== undefined) expect(ours).toEqual(attempt(() => expected(requests.decode(cut))));
      }
    }
  });

  test("of damaged messages: what both codecs take, they read alike", () => {
    const pick = chance(3);
    let compared = 0;
    for (let round = 0; round < 5000; round += 1) {
      const bytes = Buffer.from(concat([0], requests.encode(aRequest(pick)))).subarray(1);
      if (bytes.length > 0) bytes[pick(bytes.length)] = pick(256);
      const ours = attempt(() => read(decodeProcessingRequest(bytes)));
      // What is stepped over may hold anything, which the general codec refuses.
      const theirs = attempt(() => expected(requests.decode(bytes)));
      if (ours === undefined || theirs === undefined) continue;
      expect(ours).toEqual(theirs);
      compared += 1;
    }
    expect(compared).toBeGreaterThan(1000);
  });

  const headers = field(2, number(3, 1));
  test.each<readonly [string, Uint8Array]>([
    ["two parts", concat(headers, field(4, number(2, 1)))],
    ["field 0", concat(headers, number(0, 1))],
    ["a group", concat(headers, tag(20, 3), tag(20, 4))],
    ["a part that is a number", number(2, 1)],
    ["a truth value that is a text", field(2, field(3, "x"))],
    ["a part that is longer than the message", Uint8Array.of(0x12, 5, 0x18, 1)],
    ["a field that is longer than its part", Uint8Array.of(0x22, 3, 0x0a, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1)],
    ["a number without end", concat(tag(98, 0), new Uint8Array(12).fill(0x80))],
    ["a length beyond 32 bits", concat(tag(2, 2), [0x80, 0x80, 0x80, 0x80, 0x10], number(3, 1))],
  ])("refuses %s", (_, bytes) => {
    expect(() => decodeProcessingRequest(Buffer.from(bytes))).toThrow();
  });
});

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

describe("encoding", () => {
  const facts = toStruct({ gatehouse: { method: "Config", on: true, off: false, none: null, text: "Grüße" } });
  const cases: readonly ProcessingResponse[] = [
    { request_headers: {} },
    { request_headers: {}, dynamic_metadata: facts },
    { request_headers: {}, dynamic_metadata: { fields: {} } },
    { request_headers: { response: {} } },
    {
      request_headers: {
        response: {
          header_mutation: {
            set_headers: [
              {
                header: { key: "authorization", raw_value: Buffer.from("Bearer x") },
                append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
              },
              { header: { key: "x-a", value: "b".repeat(300) } },
            ],
            remove_headers: ["x-b", "x-c"],
          },
          clear_route_cache: true,
        },
      },
      dynamic_metadata: facts,
    },
    { request_body: {}, dynamic_metadata: facts },
    { request_trailers: {} },
    { immediate_response: { status: { code: 200 }, details: "x" } },
    ...[1, 100, 127, 128, 16_383, 16_384, 2_097_152].flatMap((length) =>
      [{ end_of_stream: true }, {}].map((end) => ({
        request_body: {
          response: { body_mutation: { streamed_response: { body: Buffer.alloc(length, 7), ...end } } },
        },
      })),
    ),
    { request_body: { response: { body_mutation: { streamed_response: { end_of_stream: true } } } } },
    { request_body: { response: { body_mutation: { streamed_response: {} } } } },
    {
      request_body: { response: { body_mutation: { streamed_response: { body: Buffer.from("x") } } } },
      dynamic_metadata: facts,
    },
  ];

  test.each(cases)("$#: the same bytes as the general codec", (answer) => {
    expect(encodeProcessingResponse(answer).equals(responses.encode(answer))).toBe(true);
  });
});
