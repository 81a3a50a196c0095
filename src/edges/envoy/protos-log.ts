import type { Address, Metadata } from "./protos-common.ts";
import type { SecondsNanos } from "./protos-types.ts";

/** `envoy.data.accesslog.v3.AccessLogCommon` */
export interface AccessLogCommon {
  /** Which moment of the call this entry is about; absent is "NotSet". */
  readonly access_log_type?: "DownstreamStart" | "DownstreamPeriodic" | "DownstreamEnd" | (string & {});
  /** The same for all entries of one call. */
  readonly stream_id?: string;
  readonly downstream_remote_address?: Address;
  readonly downstream_direct_remote_address?: Address;
  readonly upstream_remote_address?: Address;
  readonly upstream_cluster?: string;
  readonly route_name?: string;
  readonly start_time?: SecondsNanos;
  readonly duration?: SecondsNanos;
  readonly time_to_last_downstream_tx_byte?: SecondsNanos;
  /** Only flags that are set are there. */
  readonly response_flags?: Readonly<Record<string, unknown>>;
  /** What filters noted; ext_authz's is under `envoy.filters.http.ext_authz`. Not in start entries. */
  readonly metadata?: Metadata;
  readonly connection_termination_details?: string;
  readonly upstream_transport_failure_reason?: string;
  readonly downstream_wire_bytes_sent?: number;
  readonly downstream_wire_bytes_received?: number;
  readonly upstream_wire_bytes_sent?: number;
  readonly upstream_wire_bytes_received?: number;
}

/** `envoy.data.accesslog.v3.HTTPAccessLogEntry` */
export interface HttpAccessLogEntry {
  readonly common_properties?: AccessLogCommon;
  readonly request?: {
    readonly authority?: string;
    readonly path?: string;
    readonly user_agent?: string;
    readonly request_id?: string;
    readonly request_headers_bytes?: number;
    readonly request_body_bytes?: number;
    readonly request_headers: Readonly<Record<string, string>>;
  };
  readonly response?: {
    readonly response_code?: { readonly value?: number };
    readonly response_headers_bytes?: number;
    readonly response_body_bytes?: number;
    readonly response_headers: Readonly<Record<string, string>>;
    readonly response_trailers: Readonly<Record<string, string>>;
    readonly response_code_details?: string;
  };
}

/** `envoy.service.accesslog.v3.StreamAccessLogsMessage`; the identifier comes with a stream's first message only. */
export interface StreamAccessLogsMessage {
  readonly identifier?: { readonly node?: { readonly id?: string }; readonly log_name?: string };
  readonly http_logs?: { readonly log_entry: readonly HttpAccessLogEntry[] };
}
