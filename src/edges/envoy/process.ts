import type { handleBidiStreamingCall, ServerDuplexStream } from "@grpc/grpc-js";
import type { Inspection } from "../../flows/inspect.ts";
import type { DecidedCall } from "../../flows/inspect-metadata.ts";
import { GatewayError } from "../../kernel/errors.ts";
import { GrpcStatus } from "../../kernel/grpc-status.ts";
import type { Log } from "../../kernel/log.ts";
import { createProcessAnswers, type ProcessAnswers } from "./process-answers.ts";
import type { Begin, Begun, ProcessStream, Refused } from "./process-begin.ts";
import type { ProcessingRequest, ProcessingResponse } from "./protos-process.ts";
import { renderImmediate } from "./render-immediate.ts";

export interface ProcessHandlerDeps {
  readonly begin: Begin;
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
  readonly stream: ProcessStream;
  begun: Begun | undefined;
  /** The request was seen to its end, or was refused: what may come after that is not looked at. */
  complete: boolean;
}

function serve(deps: ProcessHandlerDeps, call: Call): void {
  const served: Served = {
    answers: createProcessAnswers(call, deps.holdBytes ?? 64 * 1024),
    stream: new CallStream(call),
    begun: undefined,
    complete: false,
  };
  const refuse = (thrown: unknown): void => {
    served.complete = true;
    try {
      if (!(thrown instanceof GatewayError)) throw thrown;
      served.answers.immediate(refusalOf(deps, served.begun?.inspection.decided, thrown));
    } catch (fault) {
      served.answers.drop();
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
  if (served.begun !== undefined) return proceed(served, served.begun, message);
  if (message.request_headers === undefined) throw unexpected(message);
  const bodiless = message.request_headers.end_of_stream === true;
  const begun = deps.begin(message, served.stream);
  if (begun instanceof Promise) return begun.then((outcome) => started(served, outcome, bodiless));
  return started(served, begun, bodiless);
}

function started(served: Served, outcome: Begun | Refused, bodiless: boolean): Promise<void> | undefined {
  if ("refusal" in outcome) {
    served.complete = true;
    served.answers.immediate(outcome.refusal);
    return undefined;
  }
  // Before anything else can be refused: a refusal names the decision that it belongs to.
  served.begun = outcome;
  return bodiless ? withoutBody(outcome.inspection) : undefined;
}

/** Every method has a message, so this is refused. */
async function withoutBody(inspection: Inspection): Promise<void> {
  await inspection.end();
  throw new Error("a call without a body cannot be passed on");
}

function proceed(served: Served, begun: Begun, message: ProcessingRequest): Promise<void> | undefined {
  const { inspection } = begun;
  const part = message.request_body;
  if (message.request_trailers !== undefined) return trailers(inspection);
  if (part === undefined) throw unexpected(message);
  const last = part.end_of_stream === true;
  const pushed = part.body === undefined || part.body.length === 0 ? [] : inspection.push(part.body);
  if (!last && !(pushed instanceof Promise)) return forward(served, begun, { bytes: pushed, last });
  return finished(served, begun, pushed, last);
}

async function trailers(inspection: Inspection): Promise<void> {
  throw await inspection.refuse(new GatewayError("MESSAGE_MALFORMED", "a gRPC request has no trailers"));
}

async function finished(
  served: Served,
  begun: Begun,
  pushed: Promise<readonly Uint8Array[]> | readonly Uint8Array[],
  last: boolean,
): Promise<void> {
  const bytes = await pushed;
  if (last) await begun.inspection.end();
  await forward(served, begun, { bytes, last });
}

function forward(
  served: Served,
  { inspection: { call, decided }, headers, facts }: Begun,
  { bytes, last }: { readonly bytes: readonly Uint8Array[]; readonly last: boolean },
): Promise<void> | undefined {
  served.complete = last;
  const approved = call !== undefined || !decided.inspect;
  return served.answers.forward(bytes, { last, approved, headers, facts });
}

/** With a signal that is made when first asked for: most calls are decided upon before anybody could leave. */
class CallStream implements ProcessStream {
  readonly #call: Call;
  #aborter: AbortController | undefined;

  constructor(call: Call) {
    this.#call = call;
  }

  get signal(): AbortSignal {
    if (this.#aborter !== undefined) return this.#aborter.signal;
    const aborter = new AbortController();
    this.#aborter = aborter;
    this.#call.on("cancelled", () => aborter.abort());
    if (this.#call.cancelled) aborter.abort();
    return aborter.signal;
  }
}

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
