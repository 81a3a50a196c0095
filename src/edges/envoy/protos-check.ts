import type { Address, HeaderValueOption, Metadata, RpcStatus } from "./protos-common.ts";
import type { SecondsNanos, Struct } from "./protos-types.ts";

interface Peer {
  readonly address?: Address;
  readonly principal?: string;
}

/** `envoy.service.auth.v3.AttributeContext.HttpRequest` */
interface HttpRequest {
  /** Envoy's id of the stream, not `x-request-id`. */
  readonly id?: string;
  readonly method?: string;
  /** Lower-case names, pseudo headers included; duplicates are joined with ",". */
  readonly headers: Readonly<Record<string, string>>;
  readonly path?: string;
  readonly host?: string;
  readonly scheme?: string;
  readonly protocol?: string;
}

/** `envoy.service.auth.v3.CheckRequest` */
export interface CheckRequest {
  readonly attributes?: {
    readonly source?: Peer;
    readonly destination?: Peer;
    readonly request?: { readonly time?: SecondsNanos; readonly http?: HttpRequest };
    readonly context_extensions: Readonly<Record<string, string>>;
    readonly metadata_context?: Metadata;
    readonly tls_session?: { readonly sni?: string };
  };
}

/**
 * `envoy.service.auth.v3.CheckResponse`. An empty one allows the call: every denial must set `status.code` to something
 * other than 0 and carry `denied_response`.
 */
export interface CheckResponse {
  readonly status: RpcStatus;
  readonly ok_response?: {
    readonly headers?: readonly HeaderValueOption[];
    readonly headers_to_remove?: readonly string[];
    readonly response_headers_to_add?: readonly HeaderValueOption[];
  };
  readonly denied_response?: {
    /** An HTTP status code's number. */
    readonly status: { readonly code: number };
    readonly headers?: readonly HeaderValueOption[];
    readonly body?: string;
  };
  readonly dynamic_metadata?: Struct;
}
