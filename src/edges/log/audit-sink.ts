import type { AuditRecord, AuditSink } from "../../decisions/audit.ts";
import { GatewayError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/metrics.ts";
import { formatAudit } from "./audit-format.ts";
import { createBatchQueue } from "./audit-queue.ts";
import { type BatchResult, createAuditWriter } from "./audit-writer.ts";

export interface AuditSinkOptions {
  /** The file that records are appended to; "-" is standard output. */
  readonly file: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** How long a full pipe is tried again before its records fail, in milliseconds. Default 1000. */
  readonly patienceMs?: number;
  /** Bytes of records that may wait to be written; more fail at once. Default 16 MiB. */
  readonly maxWaitingBytes?: number;
}

export interface ClosableAuditSink extends AuditSink {
  /** Opens the file anew, after a rotation. Rejects where that is impossible; records go to the old one then. */
  reopen(): Promise<void>;
  /** Writes what is waiting and closes the file. Later records fail. */
  close(): Promise<void>;
}

interface Waiting {
  readonly line: string;
  readonly bytes: number;
  readonly kind: AuditRecord["kind"];
  resolve(): void;
  reject(error: GatewayError): void;
}

/**
 * So many records are not kept waiting for more of the same turn: those that wait for them go to work while the others are still
 * decided upon. Fewer at once cost more writes than that gains; see docs/design/003-speed.md.
 */
const RECORDS_AT_ONCE = 8;

/**
 * The audit log: JSON lines, the records of one turn of the event loop in one write(2), or in a few. A record whose promise resolved
 * is with the operating system and outlives this process; a record that cannot be written fails with AUDIT_UNAVAILABLE,
 * and each later record tries anew.
 */
export function createAuditSink(options: AuditSinkOptions): ClosableAuditSink {
  const { file, log, metrics } = options;
  const maxWaitingBytes = options.maxWaitingBytes ?? 16 * 1024 * 1024;
  const writer = createAuditWriter({ file, patienceMs: options.patienceMs ?? 1000 });
  const settle = createSettle(options);
  let waitingBytes = 0;
  let closed = false;
  const queue = createBatchQueue<Waiting>(async (batch) => {
    const result = await writer.append(batch.map((record) => record.line));
    for (const { bytes } of batch) waitingBytes -= bytes;
    settle(batch, result);
  }, RECORDS_AT_ONCE);

  return {
    write(record) {
      if (closed) return Promise.reject(unavailable(new Error("the audit log is closed")));
      const line = formatAudit(record);
      const bytes = Buffer.byteLength(line);
      if (waitingBytes + bytes > maxWaitingBytes) {
        metrics.count("gatehouse_audit_records_total", { kind: record.kind, outcome: "failed" });
        return Promise.reject(unavailable(new Error("too many audit records are waiting to be written")));
      }
      waitingBytes += bytes;
      return new Promise((resolve, reject) => queue.push({ line, bytes, kind: record.kind, resolve, reject }));
    },
    async reopen() {
      await queue.between(() => writer.reopen());
      log.info("the audit log was opened anew", { file });
    },
    async close() {
      closed = true;
      await queue.between(() => writer.close());
    },
  };
}

/** Tells every record of a batch what became of it, and the log when the audit log breaks and when it heals. */
function createSettle({ file, log, metrics }: AuditSinkOptions) {
  let broken = false;
  return (batch: readonly Waiting[], { lines, cause }: BatchResult): void => {
    for (const [i, record] of batch.entries()) {
      const outcome = i < lines ? "written" : "failed";
      metrics.count("gatehouse_audit_records_total", { kind: record.kind, outcome });
      if (outcome === "written") record.resolve();
      else record.reject(unavailable(cause));
    }
    const failed = lines < batch.length;
    if (failed && !broken) log.error("the audit log cannot be written", { file, error: cause });
    if (!failed && broken) log.info("the audit log can be written again", { file });
    broken = failed;
  };
}

function unavailable(cause: unknown): GatewayError {
  return new GatewayError(
    "AUDIT_UNAVAILABLE",
    "the audit record of this call cannot be written, so the call is refused; try again",
    { cause },
  );
}
