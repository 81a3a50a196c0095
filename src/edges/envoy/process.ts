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
 */
export function createProcessHandler(
  deps: ProcessHandlerDeps,
): handleBidiStreamingCall<ProcessingRequest, ProcessingResponse> {
  return (call) => {
    // Without a listener an error on a stream that Envoy has left would end the process.
    call.on("error", () => undefined);
    serve(deps, call).catch((thrown: unknown) => fail(deps, call, thrown));
  };
}

async function serve(deps: ProcessHandlerDeps, call: Call): Promise<void> {
  const answers = createProcessAnswers(call, deps.holdBytes ?? 64 * 1024);
  // Leaving the loop must not destroy the stream: the refusal is still to be sent.
  const messages = call.iterator({ destroyOnReturn: false }) as AsyncIterable<ProcessingRequest>;
  let inspection: Inspection | undefined;
  let complete = false;
  try {
    for await (const message of messages) {
      if (inspection === undefined) {
        inspection = begin(deps, message);
        // After the assignment: a refusal here, too, names the decision that it belongs to.
        if (message.request_headers?.end_of_stream === true) await inspection.end();
      } else {
        complete = await proceed(inspection, answers, message);
        if (complete) break;
      }
    }
    if (complete) call.end();
    else abandon(call);
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown;
    await answers.immediate(refusalOf(deps, inspection?.decided, thrown));
    call.end();
  }
}

function begin(deps: ProcessHandlerDeps, message: ProcessingRequest): Inspection {
  if (message.request_headers === undefined) throw unexpected(message);
  return deps.inspect(fromStruct(message.metadata_context?.filter_metadata?.[authzNamespace]));
}

/**
 * @returns whether that was the request's end. The stream ends with it: an answer may last for hours, and would hold a
 * stream of ours without need.
 */
async function proceed(inspection: Inspection, answers: ProcessAnswers, message: ProcessingRequest): Promise<boolean> {
  const part = message.request_body;
  if (message.request_trailers !== undefined) {
    throw await inspection.refuse(new GatewayError("MESSAGE_MALFORMED", "a gRPC request has no trailers"));
  }
  if (part === undefined) throw unexpected(message);
  const bytes = part.body === undefined || part.body.length === 0 ? [] : await inspection.push(part.body);
  const last = part.end_of_stream === true;
  if (last) await inspection.end();
  const { call, decided } = inspection;
  await answers.forward(bytes, {
    last,
    approved: call !== undefined || !decided.inspect,
    facts: call && factsOf(call),
  });
  return last;
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
