import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { fromStruct } from "../../../src/edges/envoy/encode-struct.ts";
import { authorizationService, codec, protos } from "../../../src/edges/envoy/protos.ts";
import type { CheckRequest, CheckResponse } from "../../../src/edges/envoy/protos-check.ts";
import type { HeaderValueOption } from "../../../src/edges/envoy/protos-common.ts";
import { readCheck } from "../../../src/edges/envoy/read-check.ts";
import { writeAllowed, writeDenied } from "../../../src/edges/envoy/write-check.ts";
import { pick as pickFrom, seeded } from "../../support/seeded.ts";

// What the door reads and writes by hand is compared with what the contracts in protos/ say.

const wire = codec<object>("envoy.service.auth.v3.CheckRequest");
const wireAnswer = codec<CheckResponse>("envoy.service.auth.v3.CheckResponse");
const random = seeded(5);
const pick = <T>(list: readonly T[]): T => pickFrom(random, list);
const texts = ["", "a", "ä€😀", "x".repeat(127), "y".repeat(128), "z".repeat(20_000), "__proto__", "A-B"];
const textOf = (text: string | undefined): string => text ?? "";
const maybe = <T>(value: () => T): T | undefined => (random() < 0.7 ? value() : undefined);

function anAddress(): object {
  if (random() < 0.3) return { pipe: { path: pick(texts), mode: 3 } };
  return { socket_address: { address: pick(texts), port_value: Math.floor(random() * 65_536), protocol: 1 } };
}

function aRequest(): object {
  const headers = Object.fromEntries(
    Array.from({ length: Math.floor(random() * 12) }, () => [`${pick(texts)}${Math.floor(random() * 5)}`, pick(texts)]),
  );
  return {
    attributes: {
      source: maybe(() => ({ address: maybe(anAddress), service: "s", principal: pick(texts), labels: { a: "b" } })),
      destination: maybe(() => ({ address: anAddress() })),
      request: {
        time: maybe(() => ({ seconds: 1_700_000_000, nanos: 7 })),
        http: {
          id: maybe(() => pick(texts)),
          method: "POST",
          headers,
          path: maybe(() => pick(texts)),
          host: maybe(() => pick(texts)),
          scheme: "https",
          size: -1,
          protocol: "HTTP/2",
          raw_body: new Uint8Array([1, 2, 3]),
        },
      },
      context_extensions: maybe(() => ({ a: "b" })) ?? {},
      metadata_context: maybe(() => ({ filter_metadata: {} })),
      tls_session: maybe(() => ({ sni: pick(texts) })),
    },
  };
}

/** What the generated reader says, in the reader's terms. */
function expected(bytes: Buffer): object {
  const { attributes } = wire.decode(bytes) as CheckRequest;
  const http = attributes?.request?.http;
  const peer = attributes?.source?.address;
  return {
    id: http?.id ?? "",
    path: http?.path ?? "",
    host: http?.host ?? "",
    headers: Object.entries(http?.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
    sourceAddress: peer?.socket_address?.address ?? peer?.pipe?.path ?? "",
  };
}

function found(bytes: Buffer): object {
  const { id, path, host, headers, sourceAddress } = readCheck(bytes);
  return { id, path, host, headers: Object.entries(headers), sourceAddress };
}

describe("reading a check", () => {
  it("finds what the generated reader finds", () => {
    for (let round = 0; round < 300; round += 1) {
      const bytes = wire.encode(aRequest());
      expect(found(bytes)).toEqual(expected(bytes));
    }
  });

  it("skips fields that it does not know, of every type", () => {
    const known = wire.encode(aRequest());
    const strange = protobuf.Writer.create();
    strange
      .uint32((100 << 3) | 0)
      .uint64(7)
      .uint32((101 << 3) | 1)
      .fixed64(7)
      .uint32((102 << 3) | 2)
      .string("text");
    strange.uint32((103 << 3) | 5).fixed32(7);
    const bytes = Buffer.concat([strange.finish(), known, strange.finish()]);
    expect(found(bytes)).toEqual(found(known));
  });

  it("merges a message that comes in two parts, as protobuf demands", () => {
    const first = wire.encode({ attributes: { request: { http: { path: "/a", headers: { one: "1" } } } } });
    const second = wire.encode({ attributes: { request: { http: { path: "/b", headers: { two: "2" } } } } });
    const bytes = Buffer.concat([first, second]);
    expect(readCheck(bytes)).toMatchObject({ path: "/b", headers: { one: "1", two: "2" } });
  });

  it("never reads a truncated message otherwise than the generated reader does", () => {
    let refused = 0;
    for (let round = 0; round < 400; round += 1) {
      const bytes = Buffer.from(wire.encode(aRequest()));
      const cut = bytes.subarray(0, Math.floor(random() * bytes.length));
      let read: object;
      try {
        read = found(cut);
      } catch {
        // A refusal is always right; another reading never is.
        refused += 1;
        continue;
      }
      expect(read).toEqual(expected(cut));
    }
    expect(refused).toBeGreaterThan(100);
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["no HTTP request", wire.encode({ attributes: { source: {} } })],
    ["the field number 0", Buffer.from([0x02, 0x00])],
    ["a known field of another type", Buffer.from([0x08, 0x01])],
    ["a length beyond the end", Buffer.from([0x0a, 0x05, 0x00])],
    ["a length beyond its message", Buffer.from([0x0a, 0x02, 0x22, 0x05, 0x12, 0x00])],
    ["an endless number", Buffer.alloc(12, 0xff)],
  ])("refuses %s", (_, bytes) => {
    expect(() => readCheck(bytes)).toThrow();
  });
});

describe("writing an answer", () => {
  it("of an allow says what the contract's reader then reads", () => {
    for (let round = 0; round < 200; round += 1) {
      const pairs = () => Array.from({ length: Math.floor(random() * 3) }, () => [pick(texts), pick(texts)] as const);
      const allowed = {
        headers: pairs(),
        headersToRemove: Array.from({ length: Math.floor(random() * 4) }, () => pick(texts)),
        responseHeaders: pairs(),
        metadata: { text: pick(texts), yes: true, no: false },
      };
      const read = authorizationService.Check.responseDeserialize(Buffer.from(writeAllowed(allowed)));
      const plain = (list: readonly HeaderValueOption[] = []) =>
        list.map(({ header, append_action }) => {
          expect(append_action).toBe("OVERWRITE_IF_EXISTS_OR_ADD");
          // Decoded, an empty text is absent.
          return [textOf(header.key), textOf(header.value)];
        });
      expect(read.status.code ?? 0).toBe(0);
      expect(read.denied_response).toBeUndefined();
      expect(plain(read.ok_response?.headers)).toEqual(allowed.headers);
      expect(plain(read.ok_response?.response_headers_to_add)).toEqual(allowed.responseHeaders);
      expect(read.ok_response?.headers_to_remove).toEqual(allowed.headersToRemove);
      expect(fromStruct(read.dynamic_metadata)).toEqual(allowed.metadata);
    }
  });

  it("of a refusal likewise", () => {
    for (let round = 0; round < 100; round += 1) {
      const denied = {
        code: 1 + Math.floor(random() * 16),
        httpStatus: pick([401, 403, 503, 500]),
        headers: [[pick(texts), pick(texts)]] as const,
        metadata: { reason: pick(texts) },
      };
      const read = wireAnswer.decode(writeDenied(denied));
      expect(read.ok_response).toBeUndefined();
      expect(read.status.code).toBe(denied.code);
      expect(read.denied_response?.headers).toHaveLength(1);
      expect(protos.lookupEnum("envoy.type.v3.StatusCode").values[String(read.denied_response?.status.code)]).toBe(
        denied.httpStatus,
      );
      expect(fromStruct(read.dynamic_metadata)).toEqual(denied.metadata);
    }
  });

  it("writes the fields that the contract numbers", () => {
    const type = protos.lookupType("envoy.service.auth.v3.OkHttpResponse");
    expect(type.fields["headers"]?.id).toBe(2);
    expect(type.fields["headers_to_remove"]?.id).toBe(5);
    expect(type.fields["response_headers_to_add"]?.id).toBe(6);
  });
});
