import type { Log, LogFields } from "../../src/kernel/log.ts";

export interface LogLine {
  readonly message: string;
  readonly fields: LogFields | undefined;
}

/** A log that keeps its warnings and errors. */
export function recordingLog(lines: LogLine[]): Log {
  const note = (message: string, fields?: LogFields) => void lines.push({ message, fields });
  const log: Log = { debug: () => undefined, info: () => undefined, warn: note, error: note, child: () => log };
  return log;
}
