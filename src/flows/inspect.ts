import type { OperationRecord } from "../decisions/audit.ts";
import { auditText } from "../decisions/decision-record.ts";
import { GatewayError } from "../kernel/errors.ts";
import type { Log } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { checkConnectSession } from "../spark/read-call.ts";
import { type RequestPiece, RequestStream } from "../spark/request-stream.ts";
import type { SparkCall } from "../spark/spark-call.ts";
import { stampFor } from "../spark/stamp.ts";
import { type DecidedCall, decidedCallOf } from "./inspect-metadata.ts";
import { type WriteInTimeDeps, writeInTime } from "./write-in-time.ts";

/** Everything that an inspection depends on. Whatever it throws refuses the call. */
export interface InspectDeps extends WriteInTimeDeps {
  readonly log: Log;
  readonly metrics: Metrics;
  /** What becomes of a message whose record cannot be written: "deny" refuses the call, "allow" lets it pass unrecorded. */
  readonly onAuditFailure: "deny" | "allow";
  /** A longer request message is refused, in bytes. */
  readonly maxMessageBytes: number;
  /** Whether this Connect session was seen on an earlier driver of the same session, which is gone. */
  connectSessionBelongsElsewhere(connectSession: string, driverUid: string): boolean;
  readonly activity: {
    /**
     * Notes what the first message of a call says. Where the note must outlive us (a streaming query that starts), the
     * promise resolves once it is stored.
     */
    message(driverUid: string, decisionId: string, call: SparkCall): Promise<void> | undefined;
    /** The message that was noted is not forwarded after all. */
    refused(driverUid: string, call: SparkCall): void;
  };
}

/** One call's request body on its way to the driver. Use it for one call, in order, one chunk at a time. */
export interface Inspection {
  readonly decided: DecidedCall;
  /** What the first message says, once it was read to its end and may go on. */
  readonly call: SparkCall | undefined;
  /**
   * Takes the next bytes from the client and gives those for the driver: identity stamped, and no message complete before
   * its record is written. A promise only where there is something to wait for; it rejects with a GatewayError where the
   * call is refused (recorded already), and then nothing more may be pushed.
   */
  push(chunk: Uint8Array): readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** The client has sent all. @throws GatewayError like `push` */
  end(): Promise<void>;
  /** The client sent what no message is. Records the refusal. @returns the error to refuse the call with */
  refuse(error: GatewayError): Promise<GatewayError>;
}

/**
 * Begins the inspection of one call, from what was decided about its headers.
 * @returns a function that throws GatewayError DECISION_MISSING when the metadata is not a decision of ours
 */
export function createInspect(deps: InspectDeps): (metadata: Readonly<Record<string, unknown>>) => Inspection {
  return (metadata) => {
    const decided = decidedCallOf(metadata);
    return decided.inspect ? new Inspected(deps, decided) : untouched(decided);
  };
}

const untouched = (decided: DecidedCall): Inspection => ({
  decided,
  call: undefined,
  push: (chunk) => [chunk],
  end: () => Promise.resolve(),
  refuse: async (error) => error,
});

class Inspected implements Inspection {
  readonly decided: DecidedCall;
  readonly #state: State;

  constructor(deps: InspectDeps, decided: DecidedCall) {
    const stream = new RequestStream({
      method: decided.method,
      stamp: stampFor(decided),
      maxMessageBytes: deps.maxMessageBytes,
    });
    this.decided = decided;
    this.#state = { deps, decided, stream, first: undefined, session: undefined };
  }

  get call(): SparkCall | undefined {
    return this.#state.first;
  }

  push(chunk: Uint8Array): readonly Uint8Array[] | Promise<readonly Uint8Array[]> {
    try {
      const passed = pass(this.#state, chunk);
      return passed instanceof Promise ? passed.catch((thrown: unknown) => this.#refuse(thrown)) : passed;
    } catch (thrown) {
      return this.#refuse(thrown);
    }
  }

  async end(): Promise<void> {
    try {
      this.#state.stream.end();
    } catch (thrown) {
      await this.#refuse(thrown);
    }
  }

  refuse(error: GatewayError): Promise<GatewayError> {
    return refused(this.#state, error);
  }

  async #refuse(thrown: unknown): Promise<never> {
    throw await refused(this.#state, GatewayError.from(thrown));
  }
}

interface State {
  readonly deps: InspectDeps;
  readonly decided: DecidedCall;
  readonly stream: RequestStream;
  first: SparkCall | undefined;
  /** The Connect session that was found to be this driver's. */
  session: string | undefined;
}

function pass(state: State, chunk: Uint8Array): readonly Uint8Array[] | Promise<readonly Uint8Array[]> {
  const pieces = state.stream.push(chunk);
  if (state.session === undefined) checkSession(state);
  const first = state.first === undefined ? pieces.find((piece) => piece.kind === "message") : undefined;
  return first === undefined ? approved(state, pieces) : begun(state, first.call, pieces);
}

/** The call's first message is complete: it is noted and recorded before any of its last bytes go on. */
async function begun(state: State, call: SparkCall, pieces: readonly RequestPiece[]): Promise<readonly Uint8Array[]> {
  await noted(state, call);
  state.first = call;
  return approved(state, pieces);
}

function approved(state: State, pieces: readonly RequestPiece[]): readonly Uint8Array[] {
  const out: Uint8Array[] = [];
  for (const piece of pieces) {
    if (piece.kind === "message") {
      approve(state, piece.call);
      out.push(...piece.tail);
    } else out.push(piece.bytes);
  }
  return out;
}

/** As early as the Connect session is known: a refusal now reaches the client before the driver has seen anything. */
function checkSession(state: State): void {
  const { deps, decided, stream } = state;
  const session = stream.connectSession;
  if (session === undefined) return;
  checkConnectSession(session);
  if (deps.connectSessionBelongsElsewhere(session, decided.driverUid)) {
    throw new GatewayError("SESSION_CHANGED", "the driver that held this Spark session is gone; create a new one");
  }
  state.session = session;
}

function approve({ deps, decided, first }: State, call: SparkCall): void {
  if (call !== first && call.connectSession !== undefined && call.connectSession !== first?.connectSession) {
    throw new GatewayError("MESSAGE_MALFORMED", "malformed Spark Connect request: session_id changes within a call");
  }
  deps.metrics.count("gatehouse_messages_total", { method: decided.method.name, outcome: "forwarded" });
}

async function noted(state: State, call: SparkCall): Promise<void> {
  const { deps, decided } = state;
  try {
    await deps.activity.message(decided.driverUid, decided.decisionId, call);
    await recorded(deps, operationRecord(state, call, undefined));
  } catch (thrown) {
    deps.activity.refused(decided.driverUid, call);
    throw thrown;
  }
}

/** Records a refusal. The call ends whether the record could be written or not. */
async function refused(state: State, error: GatewayError): Promise<GatewayError> {
  const { deps, decided } = state;
  deps.metrics.count("gatehouse_messages_total", { method: decided.method.name, outcome: error.reason });
  const fields = { decision_id: decided.decisionId, method: decided.method.name, reason: error.reason };
  if (error.reason === "INTERNAL") deps.log.error("an inspection failed", { ...fields, error: error.cause });
  if (error.reason === "AUDIT_UNAVAILABLE") return error;
  try {
    await writeInTime(deps, operationRecord(state, state.first, error));
  } catch (thrown) {
    deps.log.error("a refusal could not be recorded", { ...fields, error: thrown });
  }
  return error;
}

async function recorded(deps: InspectDeps, record: OperationRecord): Promise<void> {
  try {
    await writeInTime(deps, record);
  } catch (thrown) {
    deps.log.error("an operation could not be recorded", { decision_id: record.decision_id, error: thrown });
    if (deps.onAuditFailure === "allow") return;
    throw new GatewayError("AUDIT_UNAVAILABLE", "the audit record could not be written, so the call is refused", {
      retryAfterMs: 1000,
    });
  }
}

function operationRecord(state: State, call: SparkCall | undefined, error: GatewayError | undefined): OperationRecord {
  const { decided, deps } = state;
  const claimed = call?.claimedUserId;
  return {
    schema: "gatehouse.audit/1",
    kind: "operation",
    time: new Date(deps.clock.now()).toISOString(),
    decision_id: auditText("decision_id", decided.decisionId),
    method: decided.method.name,
    verdict: error ? "deny" : "allow",
    reason: error ? error.reason : "STAMPED",
    message: auditText("message", error?.message),
    user_id: auditText("user_id", decided.userId),
    claimed_user_id: auditText("claimed_user_id", claimed === decided.userId ? undefined : claimed),
    connect_session: auditText("connect_session", call?.connectSession ?? state.stream.connectSession),
    operation_id: auditText("operation_id", call?.operationId),
    session: auditText("session", decided.session),
    driver_uid: auditText("driver_uid", decided.driverUid),
  };
}
