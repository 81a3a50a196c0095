import { FieldReader } from "./field-reader.ts";
import { accessLogService } from "./protos.ts";
import type { AccessLogCommon, HttpAccessLogEntry, StreamAccessLogsMessage } from "./protos-log.ts";
import { readMetadata } from "./read-metadata.ts";

/**
 * The access log service with a reader of its own: an entry tells dozens of things about a call, of which its stream, its
 * moment and what ext_authz noted are used. On the wire it is the same as `accessLogService`.
 */
export const accessLog = {
  StreamAccessLogs: { ...accessLogService.StreamAccessLogs, requestDeserialize: readAccessLog },
};

/**
 * Reads who sends, and of each HTTP entry its type, stream id and ext_authz's metadata.
 * @throws Error where what is read is malformed
 */
function readAccessLog(bytes: Buffer): StreamAccessLogsMessage {
  const entries: HttpAccessLogEntry[] = [];
  let node: string | undefined;
  const message = new FieldReader(bytes);
  while (message.next()) {
    if (message.field === 1) node = nodeOf(message.message()) ?? node;
    else if (message.field === 2) {
      const logs = message.message();
      while (logs.next()) if (logs.field === 1) entries.push(entryOf(logs.message()));
    }
  }
  const http_logs = { log_entry: entries };
  return node === undefined ? { http_logs } : { identifier: { node: { id: node } }, http_logs };
}

function nodeOf(identifier: FieldReader): string | undefined {
  let id: string | undefined;
  while (identifier.next()) {
    if (identifier.field !== 1) continue;
    const node = identifier.message();
    while (node.next()) if (node.field === 1) id = node.text();
  }
  return id;
}

function entryOf(entry: FieldReader): HttpAccessLogEntry {
  let common_properties: AccessLogCommon = {};
  while (entry.next())
    if (entry.field === 1) common_properties = { ...common_properties, ...commonOf(entry.message()) };
  return { common_properties };
}

/** `AccessLogType` by its numbers, where the name matters. */
const types: Readonly<Record<number, AccessLogCommon["access_log_type"]>> = {
  4: "DownstreamStart",
  5: "DownstreamPeriodic",
  6: "DownstreamEnd",
};

function commonOf(common: FieldReader): AccessLogCommon {
  const read: { -readonly [K in keyof AccessLogCommon]: AccessLogCommon[K] } = {};
  while (common.next()) {
    if (common.field === 17) read.metadata = { filter_metadata: readMetadata(common.message()) };
    else if (common.field === 26) read.stream_id = common.text();
    else if (common.field === 33) read.access_log_type = types[common.number()] ?? "other";
  }
  return read;
}
