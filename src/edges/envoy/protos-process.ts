import type { HeaderValue, HeaderValueOption, Metadata } from "./protos-common.ts";
import type { SecondsNanos, Struct } from "./protos-types.ts";

interface HeaderMap {
  readonly headers: readonly HeaderValue[];
}

interface HttpHeaders {
  readonly headers?: HeaderMap;
  readonly end_of_stream?: boolean;
}

/** A chunk of a body; its borders mean nothing. */
interface HttpBody {
  readonly body?: Buffer;
  readonly end_of_stream?: boolean;
}

interface HttpTrailers {
  readonly trailers?: HeaderMap;
}

/** `envoy.service.ext_proc.v3.ProcessingRequest`: exactly one of the six parts, named by `request`. */
export interface ProcessingRequest {
  readonly request?:
    | "request_headers"
    | "response_headers"
    | "request_body"
    | "response_body"
    | "request_trailers"
    | "response_trailers";
  readonly request_headers?: HttpHeaders;
  readonly response_headers?: HttpHeaders;
  readonly request_body?: HttpBody;
  readonly response_body?: HttpBody;
  readonly request_trailers?: HttpTrailers;
  readonly response_trailers?: HttpTrailers;
  /** On every message: the metadata that ext_authz set, under `envoy.filters.http.ext_authz`. */
  readonly metadata_context?: Metadata;
  /** With the first message: what the filter was told to send, under its own name. */
  readonly attributes?: Readonly<Record<string, Struct>>;
}

export interface HeaderMutation {
  readonly set_headers?: readonly HeaderValueOption[];
  readonly remove_headers?: readonly string[];
}

interface StreamedBodyResponse {
  readonly body?: Uint8Array;
  /** Instead of `body`, which they make up together; only `encodeProcessingResponse` knows them. */
  readonly parts?: readonly Uint8Array[];
  readonly end_of_stream?: boolean;
}

export interface CommonResponse {
  readonly header_mutation?: HeaderMutation;
  readonly body_mutation?: { readonly streamed_response: StreamedBodyResponse };
  readonly clear_route_cache?: boolean;
}

/** `envoy.service.ext_proc.v3.ImmediateResponse`: ends the call with this answer. */
interface ImmediateResponse {
  /** An HTTP status code's number. */
  readonly status: { readonly code: number };
  readonly headers?: HeaderMutation;
  readonly body?: Uint8Array;
  readonly grpc_status?: { readonly status: number };
  /** For the access log (`response_code_details`). */
  readonly details?: string;
}

/** `envoy.service.ext_proc.v3.ProcessingResponse`: exactly one of the parts. */
export interface ProcessingResponse {
  readonly request_headers?: { readonly response?: CommonResponse };
  readonly request_body?: { readonly response?: CommonResponse };
  readonly request_trailers?: { readonly header_mutation?: HeaderMutation };
  readonly response_headers?: { readonly response?: CommonResponse };
  readonly response_body?: { readonly response?: CommonResponse };
  readonly response_trailers?: { readonly header_mutation?: HeaderMutation };
  readonly immediate_response?: ImmediateResponse;
  readonly dynamic_metadata?: Struct;
  readonly override_message_timeout?: SecondsNanos;
}
