import { destination as openDestination, pino, stdSerializers } from "pino";
import type { Log, LogFields } from "../../kernel/log.ts";

export interface LogOptions {
  /** The least severe level that is written. */
  readonly level: "debug" | "info" | "warn" | "error";
  /** Where lines go; default standard error. */
  readonly destination?: { write(line: string): void } | undefined;
}

const mostWaiting = 4 * 1024 * 1024;
const secretKeys = ["authorization", "authentication", "token", "access_token", "password", "secret", "cookie"];
/** A compact JWT anywhere in a line: three base64url parts, the first of which starts a JSON object. */
const jwt = /\beyJ[\w-]{5,}\.[\w-]*\.[\w-]*/g;

/**
 * A log of JSON lines. Secrets are not to be passed to it; two belts stand behind that rule: fields with the names of
 * credentials are redacted down to the third level, and anything that looks like a JWT is cut out of the finished line.
 */
export function createLog(options: LogOptions): Log & { flush(): void } {
  // Asynchronous and bounded: a reader of standard error that does not keep up costs lines, never time.
  const standardError =
    options.destination === undefined ? openDestination({ fd: 2, sync: false, maxLength: mostWaiting }) : undefined;
  // A standard error that is closed loses the log, and must not end the process.
  standardError?.on("error", () => undefined);
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: "message",
      serializers: { error: stdSerializers.err },
      redact: {
        paths: secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]),
        censor: "[redacted]",
      },
      hooks: { streamWrite: (line) => line.replace(jwt, "[redacted]") },
    },
    standardError ?? options.destination,
  );
  return {
    ...wrap(root),
    flush() {
      // The stream refuses a synchronous flush until its descriptor is open; there is nothing to lose yet then.
      try {
        standardError?.flushSync();
      } catch {
        return;
      }
    },
  };
}

type Pino = Pick<ReturnType<typeof pino>, "debug" | "info" | "warn" | "error" | "child">;

function wrap(to: Pino): Log {
  return {
    debug: (message, fields) => to.debug(fields ?? {}, message),
    info: (message, fields) => to.info(fields ?? {}, message),
    warn: (message, fields) => to.warn(fields ?? {}, message),
    error: (message, fields) => to.error(fields ?? {}, message),
    child: (fields: LogFields) => wrap(to.child(fields)),
  };
}
