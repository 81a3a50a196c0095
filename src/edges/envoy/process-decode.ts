import { FieldReader } from "./field-reader.ts";
import type { HeaderValue } from "./protos-common.ts";
import type { ProcessingRequest } from "./protos-process.ts";
import type { Struct } from "./protos-types.ts";
import { addStruct, readMetadata } from "./read-metadata.ts";

const partNames = [
  undefined,
  undefined,
  "request_headers",
  "response_headers",
  "request_body",
  "response_body",
  "request_trailers",
  "response_trailers",
] as const;
const metadataField = 8;
const attributesField = 9;

/**
 * Reads which part of a call it is; a request's headers, or its body's bytes (a view of `bytes`), and whether they end
 * it; and, beside headers only, the texts and truth values of ext_authz's metadata and ext_proc's attributes.
 * @throws Error where what is read is malformed, or a message holds two parts
 */
export function decodeProcessingRequest(bytes: Buffer): ProcessingRequest {
  let request: ProcessingRequest | undefined;
  let metadata: FieldReader | undefined;
  const attributes: Record<string, Struct> = {};
  const message = new FieldReader(bytes);
  while (message.next()) {
    const name = partNames[message.field];
    if (name !== undefined) {
      if (request !== undefined) throw new Error("a message with two parts");
      request = partOf(name, message.message());
    } else if (message.field === metadataField) metadata = message.message();
    else if (message.field === attributesField) addStruct(attributes, message.message());
  }
  if (request?.request_headers === undefined) return request ?? {};
  if (metadata === undefined) return { ...request, attributes };
  return { ...request, attributes, metadata_context: { filter_metadata: readMetadata(metadata) } };
}

function partOf(name: NonNullable<ProcessingRequest["request"]>, part: FieldReader): ProcessingRequest {
  if (name === "request_headers") return { request: name, request_headers: headersOf(part) };
  if (name === "request_body") return { request: name, request_body: bodyOf(part) };
  return { request: name, [name]: {} };
}

function headersOf(part: FieldReader): NonNullable<ProcessingRequest["request_headers"]> {
  const headers: HeaderValue[] = [];
  let end = false;
  while (part.next()) {
    if (part.field === 3) end = part.truth();
    else if (part.field === 1) {
      const map = part.message();
      while (map.next()) if (map.field === 1) headers.push(headerOf(map.message()));
    }
  }
  return { headers: { headers }, end_of_stream: end };
}

function headerOf(header: FieldReader): HeaderValue {
  const read: { key: string; value?: string; raw_value?: Buffer } = { key: "" };
  while (header.next()) {
    if (header.field === 1) read.key = header.text();
    else if (header.field === 2) read.value = header.text();
    else if (header.field === 3) read.raw_value = header.bytes();
  }
  return read;
}

function bodyOf(part: FieldReader): NonNullable<ProcessingRequest["request_body"]> {
  let body: Buffer | undefined;
  let end = false;
  while (part.next()) {
    if (part.field === 1) body = part.bytes();
    else if (part.field === 2) end = part.truth();
  }
  return body === undefined ? { end_of_stream: end } : { body, end_of_stream: end };
}
