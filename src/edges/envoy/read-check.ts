import { FieldReader } from "./field-reader.ts";

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
  readonly headers: Record<string, string>;
  sourceAddress: string;
  /** Whether there was an HTTP request at all. */
  http: boolean;
}

/**
 * Reads a check without making objects of what nobody looks at. Field numbers: envoy/service/auth/v3/attribute_context.proto
 * (kept in `protos/`; a test compares this reader with the general one). As in every protobuf reader the last of a repeated
 * scalar wins, and embedded messages merge.
 * @throws Error when the bytes are no such message, or hold no HTTP request: nothing can be decided about that
 */
export function readCheck(bytes: Buffer): CheckedCall {
  const headers = Object.create(null) as Record<string, string>;
  const draft: Draft = { id: "", path: "", host: "", headers, sourceAddress: "", http: false };
  const check = new FieldReader(bytes);
  while (check.next()) if (check.field === 1) readAttributes(check.message(), draft);
  if (!draft.http) throw new Error("the check has no HTTP request in its attributes");
  return draft;
}

function readAttributes(attributes: FieldReader, draft: Draft): void {
  while (attributes.next()) {
    if (attributes.field === 1) readPeer(attributes.message(), draft);
    else if (attributes.field === 4) readRequest(attributes.message(), draft);
  }
}

/** Peer (address: 1), Address (socket_address: 1, pipe: 2), SocketAddress (address: 2), Pipe (path: 1). */
function readPeer(peer: FieldReader, draft: Draft): void {
  while (peer.next()) {
    if (peer.field !== 1) continue;
    const address = peer.message();
    while (address.next()) {
      const wanted = address.field === 1 ? 2 : address.field === 2 ? 1 : undefined;
      if (wanted === undefined) continue;
      const place = address.message();
      while (place.next()) if (place.field === wanted) draft.sourceAddress = place.text();
    }
  }
}

function readRequest(request: FieldReader, draft: Draft): void {
  while (request.next()) {
    if (request.field !== 2) continue;
    draft.http = true;
    const http = request.message();
    while (http.next()) {
      if (http.field === 1) draft.id = http.text();
      else if (http.field === 3) readHeader(http.message(), draft.headers);
      else if (http.field === 4) draft.path = http.text();
      else if (http.field === 5) draft.host = http.text();
    }
  }
}

function readHeader(entry: FieldReader, headers: Record<string, string>): void {
  let name = "";
  let value = "";
  while (entry.next()) {
    if (entry.field === 1) name = entry.text();
    else if (entry.field === 2) value = entry.text();
  }
  headers[name.toLowerCase()] = value;
}
