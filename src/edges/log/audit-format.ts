import type { AuditRecord } from "../../decisions/audit.ts";

/**
 * One line of JSON for each record: its fields in their order, nothing redacted and nothing shortened. JSON escapes line
 * breaks and lone surrogates, so a line is a record and valid UTF-8 whatever the texts hold.
 */
export function formatAudit(record: AuditRecord): string {
  return `${JSON.stringify(record)}\n`;
}
