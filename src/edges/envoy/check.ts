import type { CheckRequest, Decision } from "../../decisions/decision.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import { sourceAddressHeader } from "../../snapshots/check-headers.ts";
import type { CheckAnswer, CheckCall, CheckHandler } from "./check-server.ts";
import { createTurns } from "./check-turns.ts";
import { Question } from "./question.ts";
import { renderAllow } from "./render-allow.ts";
import { renderDenial, renderDeny } from "./render-deny.ts";
import { addHeader, noHeaders } from "./request-headers.ts";

export interface CheckHandlerDeps {
  readonly clock: Clock;
  /** Decides about one call; expected never to reject. */
  authorize(request: CheckRequest): Promise<Decision>;
  readonly log: Log;
  /** A new UUID, for the refusals that no decision was made about. */
  newId(): string;
}

/** Decides about what ext_authz asks, and refuses as INTERNAL whatever goes wrong with that. */
export function createCheckHandler(deps: CheckHandlerDeps): CheckHandler {
  const decide = async (request: CheckRequest): Promise<CheckAnswer> => {
    const decision = await deps.authorize(request);
    return decision.verdict === "allow" ? renderAllow(decision, request.headers) : renderDeny(decision);
  };
  return {
    decide: createTurns({ clock: deps.clock, requestOf: checkRequestOf, decide }),
    unreadable: () => decide(unread),
    refuse: (thrown) => refusal(deps, thrown),
  };
}

/** Nothing is known of it, so no method is: it is refused and recorded as any other call of none. */
const unread: CheckRequest = {
  requestId: "",
  sourceAddress: "",
  path: "",
  host: "",
  headers: {},
  signal: new AbortController().signal,
};

/** What Envoy says of its own about the question. */
const aboutQuestion = new Set(["content-length", "x-envoy-internal", "x-envoy-expected-rq-timeout-ms"]);

/** Envoy's question in our terms. */
function checkRequestOf(call: CheckCall, signal: () => AbortSignal): CheckRequest {
  const headers = noHeaders();
  const raw = call.rawHeaders;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    if (!aboutQuestion.has(name)) addHeader(headers, name, raw[at + 1] as string);
  }
  const asked = {
    requestId: headers["x-request-id"] ?? "",
    sourceAddress: headers[sourceAddressHeader] ?? "",
    path: call.path,
    host: headers["host"] ?? "",
    headers,
  };
  return new Question(asked, signal);
}

function refusal(deps: CheckHandlerDeps, thrown: unknown): CheckAnswer {
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
    { decision_id: decisionId, reason: "INTERNAL" },
  );
}

function newIdOr(deps: CheckHandlerDeps, fallback: string): string {
  try {
    return deps.newId();
  } catch {
    return fallback;
  }
}
