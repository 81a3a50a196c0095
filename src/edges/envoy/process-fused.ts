import type { CheckRequest, Decision } from "../../decisions/decision.ts";
import type { Inspection } from "../../flows/inspect.ts";
import type { Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/within.ts";
import type { Begin, Begun, ProcessStream, Refused } from "./process-begin.ts";
import type { CommonResponse, ProcessingRequest } from "./protos-process.ts";
import { Question } from "./question.ts";
import { type AllowedCheck, allowedCheck } from "./render-allow.ts";
import { denialOf, httpStatusForEnvoy } from "./render-deny.ts";
import { renderImmediate } from "./render-immediate.ts";
import { addHeader, noHeaders } from "./request-headers.ts";

export interface FusedDeps {
  readonly clock: Clock;
  /** How long a decision may take, in milliseconds, held time included: Envoy sets no limit to an inspection's stream. */
  readonly decideWithinMs: number;
  /** Decides about one call; expected never to reject. */
  authorize(request: CheckRequest): Promise<Decision>;
  /** Begins a call's inspection from what the decision said. */
  inspect(metadata: Readonly<Record<string, unknown>>): Inspection;
}

/** Decides about the headers as `Check` does, on the stream that then inspects the body. There is no ext_authz. */
export function beginDeciding(deps: FusedDeps): Begin {
  return async (message, stream): Promise<Begun | Refused> => {
    const request = checkRequestOf(message, stream);
    // Where it takes too long the stream ends with an error, and the call with it.
    const late = (): Error => new Error(`no decision within ${deps.decideWithinMs} ms`);
    const decision = await within(deps.clock, deps.decideWithinMs, () => deps.authorize(request), late);
    if (decision.verdict !== "allow") {
      const denial = denialOf(decision);
      const facts = { decision_id: decision.id, request_id: decision.requestId, method: decision.method };
      return { refusal: renderImmediate(denial, { status: httpStatusForEnvoy(denial), facts }) };
    }
    const allowed = allowedCheck(decision, request.headers);
    return { inspection: deps.inspect(allowed.metadata), headers: mutationOf(allowed), facts: allowed.metadata };
  };
}

/** The same changes to the headers that ext_authz would be told; ext_proc reads values as bytes. */
function mutationOf({ headers, headersToRemove }: AllowedCheck): CommonResponse {
  return {
    header_mutation: {
      set_headers: headers.map(([key, value]) => ({
        header: { key, raw_value: Buffer.from(value) },
        append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
      })),
      remove_headers: headersToRemove,
    },
    // The route depends on the cluster header; without this the one that was found before stays.
    clear_route_cache: true,
  };
}

/** Envoy's question in our terms. */
function checkRequestOf(message: ProcessingRequest, stream: ProcessStream): CheckRequest {
  const headers = noHeaders();
  for (const { key, value = "", raw_value: raw } of message.request_headers?.headers?.headers ?? []) {
    addHeader(headers, key, raw === undefined || raw.length === 0 ? value : textOf(raw));
  }
  const asked = {
    requestId: headers["x-request-id"] ?? "",
    sourceAddress: sourceAddress(message),
    path: headers[":path"] ?? "",
    host: headers[":authority"] ?? headers["host"] ?? "",
    headers,
  };
  return new Question(asked, () => stream.signal);
}

const textOf = ({ buffer, byteOffset, length }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, length).toString("utf8");

/** Without its port, and an IPv6 address without brackets. */
function sourceAddress({ attributes }: ProcessingRequest): string {
  const address = attributes?.["envoy.filters.http.ext_proc"]?.fields["source.address"]?.stringValue ?? "";
  return address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}
