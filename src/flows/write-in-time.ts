import type { AuditRecord, AuditSink } from "../decisions/audit.ts";
import type { Clock } from "../kernel/clock.ts";
import { GatewayError } from "../kernel/errors.ts";

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
  return new Promise((resolve, reject) => {
    const cancel = clock.after(auditTimeoutMs, () =>
      reject(new GatewayError("AUDIT_UNAVAILABLE", `no answer from the audit within ${auditTimeoutMs} ms`)),
    );
    audit.write(record).then(
      () => {
        resolve();
        cancel();
      },
      (thrown: unknown) => {
        reject(thrown);
        cancel();
      },
    );
  });
}
