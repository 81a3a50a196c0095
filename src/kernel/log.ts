/** Structured fields of one log line. Values must be free of secrets; {@link Secret} redacts itself. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where operational messages go. This is not the audit: losing a log line is allowed, losing an audit record is not. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log whose every line carries `fields` too. */
  child(fields: LogFields): Log;
}

/** Drops everything; for tests of pure code. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};
