import protobuf from "protobufjs";
import { seeded } from "./seeded.ts";

/** Wire-level building blocks: requests as a client would send them, and as nobody should. */

export function varint(value: number | bigint, padTo = 0): number[] {
  let rest = BigInt(value);
  const bytes: number[] = [];
  do {
    bytes.push(Number(rest & 0x7fn));
    rest >>= 7n;
  } while (rest > 0n);
  while (bytes.length < padTo) bytes.push(0);
  return bytes.map((byte, index) => (index < bytes.length - 1 ? byte | 0x80 : byte));
}

const bytesOf = (content: string | Uint8Array | readonly number[]): Uint8Array =>
  typeof content === "string" ? new TextEncoder().encode(content) : Uint8Array.from(content);

export function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts.map((part) => Uint8Array.from(part))));
}

/** A field with wire type 2. */
export function field(number: number, content: string | Uint8Array | readonly number[]): Uint8Array {
  const bytes = bytesOf(content);
  return concat(varint(number * 8 + 2), varint(bytes.length), bytes);
}

/** A field with wire type 0. */
export const number = (fieldNumber: number, value: number | bigint): Uint8Array =>
  concat(varint(fieldNumber * 8), varint(value));

/** A field of wire type 5 or 1 with zeros. */
export const fixed = (fieldNumber: number, bytes: 4 | 8): Uint8Array =>
  concat(varint(fieldNumber * 8 + (bytes === 4 ? 5 : 1)), new Uint8Array(bytes));

export const tag = (fieldNumber: number, wireType: number): Uint8Array => concat(varint(fieldNumber * 8 + wireType));

/** A gRPC frame. */
export function frame(message: Uint8Array, flag = 0): Uint8Array {
  const prefix = new Uint8Array(5);
  prefix[0] = flag;
  new DataView(prefix.buffer).setUint32(1, message.length);
  return concat(prefix, message);
}

export const aSession = "11111111-2222-4333-8444-555555555555";
export const anOperation = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

export function userContext(userId: string, userName = userId, ...more: Uint8Array[]): Uint8Array {
  return field(2, concat(field(1, userId), field(2, userName), ...more));
}

/** The messages that frames carry. @throws Error when they do not end with a whole frame */
export function framesIn(body: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = [];
  let at = 0;
  while (at < body.length) {
    if (body.length - at < 5 || body[at] !== 0) throw new Error("not a frame");
    const length = new DataView(body.buffer, body.byteOffset + at).getUint32(1);
    if (body.length - at - 5 < length) throw new Error("a frame is cut");
    messages.push(body.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return messages;
}

const schema = `
syntax = "proto3";
message Any { string type_url = 1; bytes value = 2; }
message UserContext { string user_id = 1; string user_name = 2; repeated Any extensions = 999; }
message Request {
  string session_id = 1;
  UserContext user_context = 2;
  bytes plan = 3;
  string client_type = 4;
  repeated bytes request_options = 5;
  string operation_id = 6;
  repeated string tags = 7;
  fixed64 eight = 20;
  fixed32 four = 21;
  uint64 number = 22;
}
`;

export interface DecodedRequest {
  session_id: string;
  user_context: { user_id: string; user_name: string; extensions: { type_url: string }[] } | null;
  operation_id: string;
  tags: string[];
}

// An independent decoder. It replaces a repeated message where protobuf prescribes merging: whoever needs to see what a
// driver makes of extensions or of a single name asks Python's decoder.
const Request = protobuf.parse(schema, { keepCase: true }).root.lookupType("Request");

/** @throws Error when protobufjs does not take the bytes for a message */
export function decodeRequest(message: Uint8Array): DecodedRequest {
  return Request.toObject(Request.decode(message), {
    defaults: true,
    arrays: true,
    longs: Number,
  }) as unknown as DecodedRequest;
}

export interface Random {
  /** At least 0, below 1. */
  next(): number;
  below(limit: number): number;
  bytes(count: number): Uint8Array;
}

/** The same seed gives the same test. */
export function randomFrom(seed: number): Random {
  const next = seeded(seed);
  const below = (limit: number): number => Math.floor(next() * limit);
  return { next, below, bytes: (count) => Uint8Array.from({ length: count }, () => below(256)) };
}

/** A well-formed ExecutePlanRequest with its fields in any order and the identity any number of times. */
export function randomRequest(random: Random): Uint8Array {
  const text = (): string => Buffer.from(random.bytes(random.below(20))).toString("base64");
  const some = (limit: number, make: () => Uint8Array): Uint8Array[] =>
    Array.from({ length: random.below(limit) }, make);
  const parts = [
    field(1, aSession),
    ...some(3, () => userContext(text(), text(), ...some(2, () => field(999, field(1, text()))))),
    ...some(2, () => field(2, field(random.below(2) + 1, text()))),
    ...some(4, () => field(7, text())),
    ...some(3, () => number(22, random.below(2 ** 31))),
    ...some(2, () => field(6, anOperation)),
    ...some(2, () => fixed(20, 8)),
    field(4, text()),
  ];
  const shuffled = parts.map((part) => ({ part, at: random.next() })).sort((a, b) => a.at - b.at);
  return concat(...shuffled.map(({ part }) => part));
}

/** The same with a few bytes changed, and sometimes cut. */
export function damagedRequest(random: Random): Uint8Array {
  const message = randomRequest(random);
  for (let hit = 0; hit <= random.below(3); hit += 1) message[random.below(message.length)] = random.below(256);
  return random.below(4) === 0 ? message.subarray(0, random.below(message.length)) : message;
}
