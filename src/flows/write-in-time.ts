import type { AuditRecord, AuditSink } from "../decisions/audit.ts";
import type { Clock } from "../kernel/clock.ts";
import { GatewayError } from "../kernel/errors.ts";
import { within } from "../kernel/within.ts";

export interface WriteInTimeDeps {
  readonly clock: Clock;
  readonly audit: AuditSink;
  /** How long the audit may take for one record before it counts as failed, in milliseconds. */
  readonly auditTimeoutMs: number;
}

/**
 * Writes the record, unless the audit takes too long; it may still be written after that.
 * @throws GatewayError AUDIT_UNAVAILABLE, or whatever the sink throws
 */
export function writeInTime({ clock, audit, auditTimeoutMs }: WriteInTimeDeps, record: AuditRecord): Promise<void> {
  const late = (): GatewayError =>
    new GatewayError("AUDIT_UNAVAILABLE", `no answer from the audit within ${auditTimeoutMs} ms`);
  return within(clock, auditTimeoutMs, () => audit.write(record), late);
}
