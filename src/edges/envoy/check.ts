import type { CheckRequest, Decision } from "../../decisions/decision.ts";
import type { Log } from "../../kernel/log.ts";
import { readCheck } from "./read-check.ts";
import { renderAllow } from "./render-allow.ts";
import { renderDenial, renderDeny } from "./render-deny.ts";
import type { UnaryCall, UnaryHandler } from "./unary-server.ts";

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
export function createCheckHandler(deps: CheckHandlerDeps): UnaryHandler {
  return async (message, call) => {
    try {
      const request = checkRequestOf(message, call);
      const decision = await deps.authorize(request);
      return decision.verdict === "allow" ? renderAllow(decision, request.headers) : renderDeny(decision);
    } catch (thrown) {
      return refusal(deps, thrown);
    }
  };
}

/** Envoy's question in our terms. @throws when nothing can be decided about it */
function checkRequestOf(message: Buffer, call: UnaryCall): CheckRequest {
  const { id, path, host, headers, sourceAddress } = readCheck(message);
  return {
    requestId: headers["x-request-id"] ?? id,
    sourceAddress,
    path: path === "" ? (headers[":path"] ?? "") : path,
    host: host === "" ? (headers[":authority"] ?? headers["host"] ?? "") : host,
    headers,
    get signal() {
      return call.signal;
    },
  };
}

function refusal(deps: CheckHandlerDeps, thrown: unknown): Uint8Array {
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
