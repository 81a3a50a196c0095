import { GrpcStatus, type GrpcStatusName } from "./grpc-status.ts";
import { type Reason, reasons } from "./reasons.ts";

export interface GatewayErrorOptions {
  /** What was at fault, for the log; never shown to the client. */
  readonly cause?: unknown;
  /** How long the client should wait before it tries again, in milliseconds. Only where waiting helps. */
  readonly retryAfterMs?: number;
  /** Facts for ErrorInfo.metadata and the audit: no secrets. */
  readonly fields?: Readonly<Record<string, string>>;
}

/**
 * The one error that crosses layers. `message` is safe to show to the client and says what to change; everything else
 * stays in `cause`. Only an error that the log is to explain has a stack, INTERNAL or one with a cause: finding one costs
 * more than the rest of a refusal, and whoever sends bad calls could make us find many.
 */
export class GatewayError extends Error {
  readonly reason: Reason;
  readonly retryAfterMs: number | undefined;
  readonly fields: Readonly<Record<string, string>>;

  constructor(reason: Reason, message: string, options: GatewayErrorOptions = {}) {
    const limit = Error.stackTraceLimit;
    if (reason !== "INTERNAL" && options.cause === undefined) Error.stackTraceLimit = 0;
    super(message, { cause: options.cause });
    Error.stackTraceLimit = limit;
    this.name = "GatewayError";
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
    this.fields = options.fields ?? {};
  }

  get grpcStatus(): number {
    const name: GrpcStatusName = reasons[this.reason].grpc;
    return GrpcStatus[name];
  }

  get httpStatus(): number {
    return reasons[this.reason].http;
  }

  /** Anything thrown, as a GatewayError: an unknown cause becomes INTERNAL with a message that gives nothing away. */
  static from(thrown: unknown): GatewayError {
    if (thrown instanceof GatewayError) return thrown;
    return new GatewayError("INTERNAL", "internal error", { cause: thrown });
  }
}
