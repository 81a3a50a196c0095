import type { handleUnaryCall, ServerUnaryCall } from "@grpc/grpc-js";
import type { CheckRequest, Decision } from "../../decisions/decision.ts";
import type { Log } from "../../kernel/log.ts";
import type { CheckRequest as WireRequest, CheckResponse as WireResponse } from "./protos-check.ts";
import { renderAllow } from "./render-allow.ts";
import { renderDenial, renderDeny } from "./render-deny.ts";

export interface CheckHandlerDeps {
  /** Decides about one call; expected never to reject. */
  authorize(request: CheckRequest): Promise<Decision>;
  readonly log: Log;
  /** A new UUID, for the refusals that no decision was made about. */
  newId(): string;
}

/**
 * ext_authz's `Check`. Answers every request explicitly: an empty answer would allow the call, so whatever goes wrong
 * here refuses it as INTERNAL.
 */
export function createCheckHandler(deps: CheckHandlerDeps): handleUnaryCall<WireRequest, WireResponse> {
  return (call, answer) => {
    answerTo(deps, call).then(
      (response) => answer(null, response),
      (thrown: unknown) => answer(null, refusal(deps, thrown)),
    );
  };
}

async function answerTo(
  deps: CheckHandlerDeps,
  call: ServerUnaryCall<WireRequest, WireResponse>,
): Promise<WireResponse> {
  const aborter = new AbortController();
  call.on("cancelled", () => aborter.abort());
  if (call.cancelled) aborter.abort();
  const request = checkRequestOf(call.request, aborter.signal);
  const decision = await deps.authorize(request);
  return decision.verdict === "allow" ? renderAllow(decision, request.headers) : renderDeny(decision);
}

/**
 * Envoy's question in our terms.
 * @throws when it holds no HTTP request: nothing can be decided about that
 */
function checkRequestOf(wire: WireRequest, signal: AbortSignal): CheckRequest {
  const attributes = wire.attributes;
  const http = attributes?.request?.http;
  if (http === undefined) throw new Error("the check has no HTTP request in its attributes");
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of Object.entries(http.headers)) headers[name.toLowerCase()] = value;
  const peer = attributes?.source?.address;
  return {
    requestId: headers["x-request-id"] ?? http.id ?? "",
    sourceAddress: peer?.socket_address?.address ?? peer?.pipe?.path ?? "",
    path: http.path ?? headers[":path"] ?? "",
    host: http.host ?? headers[":authority"] ?? headers["host"] ?? "",
    headers,
    signal,
  };
}

function refusal(deps: CheckHandlerDeps, thrown: unknown): WireResponse {
  const decisionId = newIdOr(deps, "00000000-0000-0000-0000-000000000000");
  try {
    deps.log.error("a check could not be answered", { decision_id: decisionId, error: thrown });
  } catch {
    // The refusal matters more than the line about it.
  }
  return renderDenial(
    {
      decisionId,
      reason: "INTERNAL",
      message: "internal error",
      retryAfterMs: undefined,
      fields: {},
      session: undefined,
      user: undefined,
    },
    {},
  );
}

function newIdOr(deps: CheckHandlerDeps, fallback: string): string {
  try {
    return deps.newId();
  } catch {
    return fallback;
  }
}
