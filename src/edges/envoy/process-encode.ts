import protobuf from "protobufjs";
import { externalProcessorService } from "./protos.ts";
import type { ProcessingResponse } from "./protos-process.ts";
import type { Struct, StructValue } from "./protos-types.ts";

/**
 * Writes the two answers that nearly every call gets, to its headers and to a part of its body; all others are left to
 * the general codec.
 */
export function encodeProcessingResponse(answer: ProcessingResponse): Buffer {
  const { request_headers: headers, request_body: body, dynamic_metadata: metadata } = answer;
  const streamed = body?.response?.body_mutation?.streamed_response;
  if (streamed !== undefined && metadata === undefined) return encodeBody(streamed);
  if (headers !== undefined && headers.response === undefined) return encodeHeaders(metadata);
  return externalProcessorService.Process.responseSerialize(answer);
}

/** An empty HeadersResponse (1), and the metadata (8). */
function encodeHeaders(metadata: Struct | undefined): Buffer {
  const writer = protobuf.Writer.create().uint32(0x0a).uint32(0);
  if (metadata !== undefined) writeStruct(writer.uint32(0x42).fork(), metadata).ldelim();
  return writer.finish() as Buffer;
}

function writeStruct(writer: protobuf.Writer, struct: Struct): protobuf.Writer {
  for (const [key, value] of Object.entries(struct.fields)) {
    writer.uint32(0x0a).fork().uint32(0x0a).string(key).uint32(0x12).fork();
    writeValue(writer, value).ldelim().ldelim();
  }
  return writer;
}

function writeValue(writer: protobuf.Writer, value: StructValue): protobuf.Writer {
  if (value.stringValue !== undefined) return writer.uint32(0x1a).string(value.stringValue);
  if (value.boolValue !== undefined) return writer.uint32(0x20).bool(value.boolValue);
  if (value.numberValue !== undefined) return writer.uint32(0x11).double(value.numberValue);
  if (value.structValue !== undefined) return writeStruct(writer.uint32(0x2a).fork(), value.structValue).ldelim();
  if (value.listValue === undefined) return writer.uint32(0x08).uint32(0);
  writer.uint32(0x32).fork();
  for (const item of value.listValue.values) writeValue(writer.uint32(0x0a).fork(), item).ldelim();
  return writer.ldelim();
}

/** BodyResponse (3) of CommonResponse (1) of BodyMutation (3) of StreamedBodyResponse (3) of body (1) and end_of_stream (2). */
function encodeBody({ body, end_of_stream: end = false }: { body?: Uint8Array; end_of_stream?: boolean }): Buffer {
  const bytes = body?.length ?? 0;
  const streamed = (bytes > 0 ? 1 + varintBytes(bytes) + bytes : 0) + (end ? 2 : 0);
  const mutation = 1 + varintBytes(streamed) + streamed;
  const common = 1 + varintBytes(mutation) + mutation;
  const response = 1 + varintBytes(common) + common;
  const out = Buffer.allocUnsafe(1 + varintBytes(response) + response);
  let at = writeHead(out, 0, 3, response);
  at = writeHead(out, at, 1, common);
  at = writeHead(out, at, 3, mutation);
  at = writeHead(out, at, 3, streamed);
  if (body !== undefined && bytes > 0) {
    at = writeHead(out, at, 1, bytes);
    out.set(body, at);
    at += bytes;
  }
  if (end) {
    out[at] = 0x10;
    out[at + 1] = 1;
  }
  return out;
}

/** Tag and length of a field that has one. @returns where its content begins */
function writeHead(out: Buffer, from: number, field: number, length: number): number {
  let at = from;
  out[at++] = field * 8 + 2;
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) out[at++] = (rest & 0x7f) | 0x80;
  out[at++] = rest;
  return at;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes += 1;
  return bytes;
}
