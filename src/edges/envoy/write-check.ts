import { WireWriter } from "./wire-writer.ts";

/** What an answer to a Check that lets the call through is made of. */
export interface AllowedCheck {
  /** Set for the driver, whatever the caller sent of that name. */
  readonly headers: readonly Header[];
  readonly headersToRemove: readonly string[];
  /** Set on the answer to the client. */
  readonly responseHeaders: readonly Header[];
  /** Dynamic metadata of ext_authz. */
  readonly metadata: Readonly<Record<string, string | boolean>>;
}

type Header = readonly [name: string, value: string];

/**
 * The bytes of an `envoy.service.auth.v3.CheckResponse` with `status.code` 0 and `ok_response`. Field numbers:
 * envoy/service/auth/v3/external_auth.proto (kept in `protos/`; a test reads the bytes back with the generated codec).
 */
export function writeAllowed({ headers, headersToRemove, responseHeaders, metadata }: AllowedCheck): Uint8Array {
  const writer = new WireWriter();
  writer.string(1, "");
  const ok = writer.begin(3);
  for (const header of headers) setHeader(writer, 2, header);
  for (const name of headersToRemove) writer.string(5, name);
  for (const header of responseHeaders) setHeader(writer, 6, header);
  writer.end(ok);
  dynamicMetadata(writer, metadata);
  return writer.finish();
}

/** What an answer to a Check that refuses the call is made of. */
export interface DeniedCheck {
  /** The gRPC code; never 0, which would let the call through. */
  readonly code: number;
  /** For callers that do not speak gRPC. */
  readonly httpStatus: number;
  /** What the client gets. */
  readonly headers: readonly Header[];
  /** Dynamic metadata of ext_authz. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The bytes of an `envoy.service.auth.v3.CheckResponse` with that `status.code` and `denied_response`. */
export function writeDenied({ code, httpStatus, headers, metadata }: DeniedCheck): Uint8Array {
  const writer = new WireWriter();
  const status = writer.begin(1);
  writer.number(1, code).end(status);
  const denied = writer.begin(2);
  const http = writer.begin(1);
  writer.number(1, httpStatus).end(http);
  for (const header of headers) setHeader(writer, 2, header);
  writer.end(denied);
  dynamicMetadata(writer, metadata);
  return writer.finish();
}

function dynamicMetadata(writer: WireWriter, metadata: AllowedCheck["metadata"]): void {
  const struct = writer.begin(4);
  for (const [key, value] of Object.entries(metadata)) structField(writer, key, value);
  writer.end(struct);
}

/** `HeaderValueOption` with `append_action` OVERWRITE_IF_EXISTS_OR_ADD. Envoy reads `value` and ignores `raw_value` here. */
function setHeader(writer: WireWriter, field: number, [name, value]: Header): void {
  const option = writer.begin(field);
  const header = writer.begin(1);
  writer.string(1, name).string(2, value).end(header);
  writer.number(3, 2).end(option);
}

/** One entry of a `google.protobuf.Struct`. */
function structField(writer: WireWriter, key: string, json: string | boolean): void {
  const entry = writer.begin(1);
  writer.string(1, key);
  const value = writer.begin(2);
  if (typeof json === "string") writer.string(3, json);
  else writer.number(4, json ? 1 : 0);
  writer.end(value).end(entry);
}
