import type { Inspection } from "../../flows/inspect.ts";
import { type Facts, factsOf } from "./facts.ts";
import type { CommonResponse, ProcessingRequest, ProcessingResponse } from "./protos-process.ts";

/** A call whose headers were decided upon, and whose body is due. */
export interface Begun {
  readonly inspection: Inspection;
  /** What becomes of the headers once the first message may go on; undefined: nothing. */
  readonly headers?: CommonResponse;
  /** What the access log is told of the decision, where no filter before has told it. */
  readonly facts?: Facts;
}

/** A call that ends with this answer. */
export interface Refused {
  readonly refusal: ProcessingResponse;
}

/** The stream that a call is asked about. */
export interface ProcessStream {
  /** Aborted when Envoy gives up on it. */
  readonly signal: AbortSignal;
}

/**
 * Takes a stream's first message, which holds the request's headers.
 * @throws GatewayError the call is refused; any other error ends the stream with an error, and so the call
 */
export type Begin = (message: ProcessingRequest, stream: ProcessStream) => Begun | Promise<Begun | Refused>;

const authzNamespace = "envoy.filters.http.ext_authz";

/** Where ext_authz has decided: its metadata says what. @throws GatewayError DECISION_MISSING where it does not */
export function beginDecided(inspect: (metadata: Readonly<Record<string, unknown>>) => Inspection): Begin {
  return (message) => ({
    inspection: inspect(factsOf(message.metadata_context?.filter_metadata?.[authzNamespace])),
  });
}
