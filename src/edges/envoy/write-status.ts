import { WireWriter } from "./wire-writer.ts";

/** A `google.rpc.Status` with `ErrorInfo` and, where waiting helps, `RetryInfo`. */
export interface ErrorStatus {
  readonly code: number;
  readonly message: string;
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds, 0 or more. */
  readonly retryAfterMs: number | undefined;
}

const types = "type.googleapis.com/google.rpc.";

/** Its bytes. Field numbers: google/rpc/status.proto and error_details.proto (kept in `protos/`; tests read it with the general codec). */
export function writeStatus(status: ErrorStatus): Buffer {
  const writer = new WireWriter();
  writer.number(1, status.code).string(2, status.message);
  const details = writer.begin(3);
  writer.string(1, `${types}ErrorInfo`);
  const info = writer.begin(2);
  writer.string(1, status.reason).string(2, status.domain);
  for (const [key, value] of Object.entries(status.metadata)) {
    const entry = writer.begin(3);
    writer.string(1, key).string(2, value).end(entry);
  }
  writer.end(info).end(details);
  if (status.retryAfterMs !== undefined) writeRetry(writer, status.retryAfterMs);
  return writer.finish();
}

function writeRetry(writer: WireWriter, delayMs: number): void {
  const details = writer.begin(3);
  writer.string(1, `${types}RetryInfo`);
  const info = writer.begin(2);
  const delay = writer.begin(1);
  writer.number(1, Math.floor(delayMs / 1000)).number(2, (delayMs % 1000) * 1_000_000);
  writer.end(delay).end(info).end(details);
}
