import { pino } from "pino";
import type { AuditRecord } from "../../decisions/audit.ts";

/**
 * One line of JSON for each record, made by a pino of its own: the record's fields and nothing else (no level, no
 * process, no host, no second time), nothing redacted and nothing shortened.
 */
export function createAuditFormat(): (record: AuditRecord) => string {
  const schema: AuditRecord["schema"] = "gatehouse.audit/1";
  let line = "";
  const writer = pino(
    {
      base: null,
      timestamp: false,
      depthLimit: 20,
      edgeLimit: 1_000_000,
      serializers: {},
      // Pino begins each line with the level's fields and cannot do without; the schema is what a line begins with here.
      formatters: { level: () => ({ schema }) },
    },
    { write: (text) => void (line = text) },
  );
  return (record) => {
    const { schema: _, ...fields } = record;
    line = "";
    writer.info(fields);
    return line;
  };
}
