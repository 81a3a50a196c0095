import type { handleBidiStreamingCall, ServerDuplexStream } from "@grpc/grpc-js";
import type { Inspection } from "../../flows/inspect.ts";
import type { DecidedCall } from "../../flows/inspect-metadata.ts";
import { GatewayError } from "../../kernel/errors.ts";
import { GrpcStatus } from "../../kernel/grpc-status.ts";
import type { Log } from "../../kernel/log.ts";
import type { SparkCall } from "../../spark/spark-call.ts";
import { fromStruct, toStruct } from "./encode-struct.ts";
import { createProcessAnswers, type ProcessAnswers } from "./process-answers.ts";
import type { ProcessingRequest, ProcessingResponse } from "./protos-process.ts";
import type { Struct } from "./protos-types.ts";
import { renderImmediate } from "./render-immediate.ts";

export interface ProcessHandlerDeps {
  /** Begins a call's inspection from ext_authz's metadata. @throws GatewayError DECISION_MISSING */
  inspect(metadata: Readonly<Record<string, unknown>>): Inspection;
  readonly log: Log;
  /** A new UUID, for the refusals that no decision was made about. */
  newId(): string;
  /**
   * How many bytes of a call are kept back until its first message is approved, so that a refusal reaches the client
   * before the driver sees anything. A longer first message is forwarded from there on, never to its end. Default 64 KiB.
   */
  readonly holdBytes?: number;
}

type Call = ServerDuplexStream<ProcessingRequest, ProcessingResponse>;

const authzNamespace = "envoy.filters.http.ext_authz";

/**
 * ext_proc's `Process` in FULL_DUPLEX_STREAMED mode: one stream for each call, request side only. A message is read
 * only after the one before was dealt with and its answer was taken, so a slow driver slows the client and nothing
 * piles up here. A refusal is an immediate response; whatever else goes wrong ends the stream with an error, on which
 * Envoy ends the call.
 *
 * The stream ends when Envoy has closed its side, which it does as soon as nothing is left to inspect, not when the
 * answer is over. Ending it first would make Envoy reset it, and too many resets end the connection with all its calls.
 */
export function createProcessHandler(
  deps: ProcessHandlerDeps,
): handleBidiStreamingCall<ProcessingRequest, ProcessingResponse> {
  return (call) => {
    // Without a listener an error on a stream that Envoy has left would end the process.
    call.on("error", () => undefined);
    serve(deps, call);
  };
}

interface Served {
  readonly answers: ProcessAnswers;
  inspection: Inspection | undefined;
  /** The request was seen to its end, or was refused: what may come after that is not looked at. */
  complete: boolean;
}

function serve(deps: ProcessHandlerDeps, call: Call): void {
  const served: Served = {
    answers: createProcessAnswers(call, deps.holdBytes ?? 64 * 1024),
    inspection: undefined,
    complete: false,
  };
  const refuse = (thrown: unknown): void => {
    served.complete = true;
    try {
      if (!(thrown instanceof GatewayError)) throw thrown;
      served.answers.immediate(refusalOf(deps, served.inspection?.decided, thrown));
    } catch (fault) {
      fail(deps, call, fault);
    }
  };
  call.on("data", (message: ProcessingRequest) => {
    try {
      const pending = take(deps, served, message);
      if (pending === undefined) return;
      call.pause();
      pending.catch(refuse).finally(() => call.resume());
    } catch (thrown) {
      refuse(thrown);
    }
  });
  call.on("end", () => {
    if (served.complete) call.end();
    else abandon(call);
  });
}

/** @returns a promise where the next message must wait for it */
function take(deps: ProcessHandlerDeps, served: Served, message: ProcessingRequest): Promise<void> | undefined {
  if (served.complete) return undefined;
  if (served.inspection !== undefined) return proceed(served, served.inspection, message);
  if (message.request_headers === undefined) throw unexpected(message);
  const metadata = message.metadata_context?.filter_metadata?.[authzNamespace];
  served.inspection = deps.inspect(fromStruct(metadata));
  // After the assignment: a refusal here, too, names the decision that it belongs to.
  return message.request_headers.end_of_stream === true ? bodiless(served.inspection) : undefined;
}

/** Every method has a message, so this is refused. */
async function bodiless(inspection: Inspection): Promise<void> {
  await inspection.end();
  throw new Error("a call without a body cannot be passed on");
}

function proceed(served: Served, inspection: Inspection, message: ProcessingRequest): Promise<void> | undefined {
  const part = message.request_body;
  if (message.request_trailers !== undefined) return trailers(inspection);
  if (part === undefined) throw unexpected(message);
  const last = part.end_of_stream === true;
  const pushed = part.body === undefined || part.body.length === 0 ? [] : inspection.push(part.body);
  if (!last && !(pushed instanceof Promise)) return forward(served, inspection, { bytes: pushed, last });
  return finished(served, inspection, pushed, last);
}

async function trailers(inspection: Inspection): Promise<void> {
  throw await inspection.refuse(new GatewayError("MESSAGE_MALFORMED", "a gRPC request has no trailers"));
}

async function finished(
  served: Served,
  inspection: Inspection,
  pushed: Promise<readonly Uint8Array[]> | readonly Uint8Array[],
  last: boolean,
): Promise<void> {
  const bytes = await pushed;
  if (last) await inspection.end();
  await forward(served, inspection, { bytes, last });
}

function forward(
  served: Served,
  { call, decided }: Inspection,
  { bytes, last }: { readonly bytes: readonly Uint8Array[]; readonly last: boolean },
): Promise<void> | undefined {
  served.complete = last;
  const approved = call !== undefined || !decided.inspect;
  return served.answers.forward(bytes, { last, approved, facts: call && factsOf(call) });
}

/** For the access log; it takes them over only where the filter's `receiving_namespaces` names "gatehouse". */
const factsOf = (call: SparkCall): Struct =>
  toStruct({
    gatehouse: {
      method: call.method,
      connect_session: call.connectSession,
      operation_id: call.operationId,
    },
  });

const unexpected = (message: ProcessingRequest): Error =>
  new Error(`Envoy sent ${message.request ?? "nothing"} where a request body was due: check its processing_mode`);

function refusalOf(
  deps: ProcessHandlerDeps,
  decided: DecidedCall | undefined,
  error: GatewayError,
): ProcessingResponse {
  const decisionId = decided?.decisionId ?? deps.newId();
  if (error.reason === "DECISION_MISSING") {
    deps.log.error("a request body came without a decision", { decision_id: decisionId, error: error.cause });
  }
  return renderImmediate({
    decisionId,
    reason: error.reason,
    message: error.message,
    retryAfterMs: error.retryAfterMs,
    fields: error.fields,
    session: decided?.session,
    user: decided?.userName,
  });
}

/**
 * Envoy left before the request's end. The stream must not end with OK: Envoy takes that for "no more to inspect" and
 * lets the rest of the request through as the client sent it.
 */
function abandon(call: Call): void {
  if (!call.cancelled)
    call.emit("error", { code: GrpcStatus.CANCELLED, details: "the request was not seen to its end" });
}

/** Envoy ends the call with its `status_on_error`. A stream that Envoy has left itself is no fault. */
function fail(deps: ProcessHandlerDeps, call: Call, thrown: unknown): void {
  if (call.cancelled) return;
  deps.log.error("a call could not be inspected", { error: thrown });
  call.emit("error", { code: GrpcStatus.INTERNAL, details: "inspection failed" });
}
