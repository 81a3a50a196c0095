import { fieldBytes, writeHead } from "../../kernel/length-delimited.ts";
import { externalProcessorService } from "./protos.ts";
import type { HeaderValueOption } from "./protos-common.ts";
import type { CommonResponse, ProcessingResponse } from "./protos-process.ts";
import type { Struct, StructValue } from "./protos-types.ts";
import { WireWriter } from "./wire-writer.ts";

/**
 * Writes the two answers that nearly every call gets, to its headers and to a part of its body; all others are left to
 * the general codec. Field numbers: envoy/service/ext_proc/v3/external_processor.proto.
 */
export function encodeProcessingResponse(answer: ProcessingResponse): Buffer {
  const { request_headers: headers, request_body: body, dynamic_metadata: metadata } = answer;
  const streamed = body?.response?.body_mutation?.streamed_response;
  if (streamed !== undefined) return encodeBody(streamed, metadata);
  if (headers !== undefined && headers.response?.body_mutation === undefined) {
    return encodeHeaders(headers.response, metadata);
  }
  return externalProcessorService.Process.responseSerialize(answer);
}

/** HeadersResponse (1) with its CommonResponse (1), and the metadata (8). */
function encodeHeaders(response: CommonResponse | undefined, metadata: Struct | undefined): Buffer {
  const writer = new WireWriter();
  const headers = writer.begin(1);
  if (response !== undefined) {
    const common = writer.begin(1);
    writeMutation(writer, response);
    if (response.clear_route_cache === true) writer.number(5, 1);
    writer.end(common);
  }
  writer.end(headers);
  if (metadata !== undefined) writeStruct(writer, 8, metadata);
  return writer.finish();
}

/** HeaderMutation (2): headers to set (1) and names to remove (2). */
function writeMutation(writer: WireWriter, { header_mutation: mutation }: CommonResponse): void {
  if (mutation === undefined) return;
  const begun = writer.begin(2);
  for (const option of mutation.set_headers ?? []) writeHeader(writer, option);
  for (const name of mutation.remove_headers ?? []) writer.string(2, name);
  writer.end(begun);
}

const appendActions = {
  APPEND_IF_EXISTS_OR_ADD: 0,
  ADD_IF_ABSENT: 1,
  OVERWRITE_IF_EXISTS_OR_ADD: 2,
  OVERWRITE_IF_EXISTS: 3,
} as const;

/** HeaderValueOption: header (1) of key (1), value (2) and raw_value (3), and append_action (3). */
function writeHeader(writer: WireWriter, { header, append_action: action }: HeaderValueOption): void {
  const option = writer.begin(1);
  const value = writer.begin(1);
  writer.string(1, header.key);
  if (header.value !== undefined) writer.string(2, header.value);
  if (header.raw_value !== undefined) {
    const raw = writer.begin(3);
    writer.raw(header.raw_value).end(raw);
  }
  writer.end(value);
  if (action !== undefined && action !== "APPEND_IF_EXISTS_OR_ADD") writer.number(3, appendActions[action]);
  writer.end(option);
}

function writeStruct(writer: WireWriter, field: number, struct: Struct): void {
  const begun = writer.begin(field);
  for (const [key, value] of Object.entries(struct.fields)) {
    const entry = writer.begin(1);
    writer.string(1, key);
    writeValue(writer, value);
    writer.end(entry);
  }
  writer.end(begun);
}

/** An entry's value (2). Texts, truth values and structures are all that we tell; anything else is written as null. */
function writeValue(writer: WireWriter, value: StructValue): void {
  const begun = writer.begin(2);
  if (value.stringValue !== undefined) writer.string(3, value.stringValue);
  else if (value.boolValue !== undefined) writer.number(4, value.boolValue ? 1 : 0);
  else if (value.structValue !== undefined) writeStruct(writer, 5, value.structValue);
  else writer.number(1, 0);
  writer.end(begun);
}

type Streamed = NonNullable<CommonResponse["body_mutation"]>["streamed_response"];

/** BodyResponse (3) of CommonResponse (1) of BodyMutation (3) of StreamedBodyResponse (3) of body (1) and end_of_stream (2). */
function encodeBody(
  { body, parts = body === undefined ? [] : [body], end_of_stream: end = false }: Streamed,
  metadata: Struct | undefined,
): Buffer {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  const streamed = (bytes > 0 ? fieldBytes(bytes) : 0) + (end ? 2 : 0);
  const mutation = fieldBytes(streamed);
  const common = fieldBytes(mutation);
  const response = fieldBytes(common);
  const out = Buffer.allocUnsafe(fieldBytes(response));
  let at = writeHead(out, 0, 3, response);
  at = writeHead(out, at, 1, common);
  at = writeHead(out, at, 3, mutation);
  at = writeHead(out, at, 3, streamed);
  if (bytes > 0) at = writeHead(out, at, 1, bytes);
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  if (end) {
    out[at] = 0x10;
    out[at + 1] = 1;
  }
  return metadata === undefined ? out : Buffer.concat([out, encodeMetadata(metadata)]);
}

/** Field 8, which follows what is answered. */
function encodeMetadata(metadata: Struct): Buffer {
  const writer = new WireWriter();
  writeStruct(writer, 8, metadata);
  return writer.finish();
}
