import protobuf from "protobufjs";

/** What a decision needs of `envoy.service.auth.v3.CheckRequest`. */
export interface CheckedCall {
  /** Envoy's id of the stream, not `x-request-id`; "" where there is none. */
  readonly id: string;
  /** `:path`; "" where there is none. */
  readonly path: string;
  /** `:authority`; "" where there is none. */
  readonly host: string;
  /** Lower-case names, pseudo headers included; Envoy joins duplicates with ",". No prototype. */
  readonly headers: Readonly<Record<string, string>>;
  /** The client's address without port, or a pipe's path; "" where there is none. */
  readonly sourceAddress: string;
}

interface Draft {
  id: string;
  path: string;
  host: string;
  headers: Record<string, string>;
  sourceAddress: string;
  /** Whether there was an HTTP request at all. */
  http: boolean;
}

type Field = (reader: protobuf.Reader, end: number, draft: Draft) => void;

/**
 * Reads a check without making objects of what nobody looks at. Field numbers: envoy/service/auth/v3/attribute_context.proto
 * (kept in `protos/`; a test compares this reader with the generated one). Unknown fields are skipped; as in every protobuf
 * reader the last of a repeated scalar wins and embedded messages merge.
 * @throws when the bytes are no such message, or hold no HTTP request: nothing can be decided about that
 */
export function readCheck(bytes: Buffer): CheckedCall {
  const draft: Draft = {
    id: "",
    path: "",
    host: "",
    headers: Object.create(null) as Record<string, string>,
    sourceAddress: "",
    http: false,
  };
  const reader = protobuf.Reader.create(bytes);
  checkRequest(reader, bytes.length, draft);
  if (!draft.http) throw new Error("the check has no HTTP request in its attributes");
  return draft;
}

const LENGTH_DELIMITED = 2;

/** A reader of a message whose interesting fields are all length-delimited; the field's own reader is given its end. */
function message(fields: Readonly<Record<number, Field>>): Field {
  return (reader, end, draft) => {
    while (reader.pos < end) {
      const tag = reader.uint32();
      const field = fields[tag >>> 3];
      if (tag >>> 3 === 0) throw new Error("a field has the number 0");
      if (field === undefined) {
        reader.skipType(tag & 7);
        continue;
      }
      if ((tag & 7) !== LENGTH_DELIMITED) throw new Error(`field ${tag >>> 3} has another type`);
      const length = reader.uint32();
      const fieldEnd = reader.pos + length;
      if (fieldEnd > end) throw new RangeError("a field is longer than its message");
      field(reader, fieldEnd, draft);
    }
    if (reader.pos !== end) throw new RangeError("a field is longer than its message");
  };
}

/** The text up to `end`. */
function text(reader: protobuf.Reader, end: number): string {
  const start = reader.pos;
  reader.pos = end;
  // The reader of a Buffer holds that Buffer.
  return (reader.buf as Buffer).toString("utf8", start, end);
}

const header: Field = (reader, end, { headers }) => {
  let key = "";
  let value = "";
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag !== KEY && tag !== VALUE) {
      reader.skipType(tag & 7);
      continue;
    }
    const length = reader.uint32();
    const stop = reader.pos + length;
    if (stop > end) throw new RangeError("a header is longer than its field");
    if (tag === KEY) key = text(reader, stop);
    else value = text(reader, stop);
  }
  if (reader.pos !== end) throw new RangeError("a header is longer than its field");
  headers[key.toLowerCase()] = value;
};
const KEY = (1 << 3) | LENGTH_DELIMITED;
const VALUE = (2 << 3) | LENGTH_DELIMITED;

const sourceAddress: Field = (reader, end, draft) => {
  draft.sourceAddress = text(reader, end);
};

const httpRequest = message({
  1: (reader, end, draft) => {
    draft.id = text(reader, end);
  },
  3: header,
  4: (reader, end, draft) => {
    draft.path = text(reader, end);
  },
  5: (reader, end, draft) => {
    draft.host = text(reader, end);
  },
});

const socketAddress = message({ 2: sourceAddress });
const pipe = message({ 1: sourceAddress });
const address = message({ 1: socketAddress, 2: pipe });
const peer = message({ 1: address });

const request = message({
  2: (reader, end, draft) => {
    draft.http = true;
    httpRequest(reader, end, draft);
  },
});

const attributes = message({ 1: peer, 4: request });
const checkRequest = message({ 1: attributes });
