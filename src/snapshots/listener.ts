import { sparkMethods } from "../spark/methods.ts";
import { httpFilters } from "./http-filters.ts";
import { any, duration, wrapped } from "./messages.ts";
import type { Message } from "./resource.ts";
import type { SnapshotSettings } from "./settings.ts";
import { fromAds, grpcService, socketAddress } from "./shared.ts";

/** The door for clients: TLS, HTTP/2 only. */
export function listener(settings: SnapshotSettings): Message {
  return {
    name: "gatehouse",
    address: socketAddress(settings.listen.host, settings.listen.port),
    per_connection_buffer_limit_bytes: wrapped(1024 * 1024),
    filter_chains: [
      {
        transport_socket: tls(settings),
        transport_socket_connect_timeout: duration(10_000),
        filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: connectionManager(settings) }],
      },
    ],
  };
}

const tls = ({ listen }: SnapshotSettings): Message => ({
  name: "envoy.transport_sockets.tls",
  typed_config: any("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
    common_tls_context: {
      tls_params: { tls_minimum_protocol_version: listen.minTls.replace(".", "_") },
      alpn_protocols: ["h2"],
      tls_certificate_sds_secret_configs: [{ name: "gatehouse-server", sds_config: fromAds() }],
    },
  }),
});

function connectionManager(settings: SnapshotSettings): Message {
  return any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
    stat_prefix: "gatehouse",
    codec_type: "HTTP2",
    rds: { route_config_name: "gatehouse", config_source: fromAds() },
    http_filters: httpFilters(settings),
    ...callerHandling,
    // Streams last for hours and may be silent for long. Headers must still come promptly.
    stream_idle_timeout: duration(0),
    request_timeout: duration(0),
    request_headers_timeout: duration(15_000),
    max_request_headers_kb: wrapped(settings.limits.maxRequestHeadersKb),
    common_http_protocol_options: {
      max_headers_count: wrapped(100),
      // "a_b" and "a-b" are one header to some and two to others.
      headers_with_underscores_action: "REJECT_REQUEST",
    },
    http2_protocol_options: http2Options(settings),
    access_log: [
      {
        name: "envoy.access_loggers.http_grpc",
        filter: reported(settings.activityIntervalMs),
        typed_config: accessLog,
      },
    ],
    access_log_options: { access_log_flush_interval: duration(settings.activityIntervalMs) },
  });
}

/** Who the caller is comes from the connection alone; nothing that it says about itself is believed. */
const callerHandling: Message = {
  use_remote_address: wrapped(true),
  skip_xff_append: true,
  // Trusts nobody: this range (documentation only, RFC 5737) has no hosts. An empty list would trust every caller.
  internal_address_config: { cidr_ranges: [{ address_prefix: "192.0.2.0", prefix_len: wrapped(32) }] },
  early_header_mutation_extensions: [
    {
      name: "envoy.http.early_header_mutation.header_mutation",
      typed_config: any("envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation", {
        mutations: ["x-gatehouse-", "x-envoy-", "x-forwarded-"].map((prefix) => ({
          remove_on_match: { key_matcher: { prefix } },
        })),
      }),
    },
  ],
  normalize_path: wrapped(true),
  // An escaped slash makes no known method, so such a call is refused and audited like any other unknown path.
  path_with_escaped_slashes_action: "KEEP_UNCHANGED",
};

function http2Options({ limits }: SnapshotSettings): Message {
  return {
    max_concurrent_streams: wrapped(limits.maxConcurrentStreams),
    initial_stream_window_size: wrapped(limits.streamWindowBytes),
    initial_connection_window_size: wrapped(limits.connectionWindowBytes),
    max_outbound_frames: wrapped(10_000),
    max_outbound_control_frames: wrapped(1000),
    max_consecutive_inbound_frames_with_empty_payload: wrapped(1),
    max_inbound_priority_frames_per_stream: wrapped(100),
    max_inbound_window_update_frames_per_data_frame_sent: wrapped(10),
    // A client that is gone without a word is noticed, so that its streams do not count as alive.
    connection_keepalive: { interval: duration(30_000), timeout: duration(20_000) },
  };
}

const accessLog = any("envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig", {
  common_config: {
    log_name: "gatehouse",
    transport_api_version: "V3",
    grpc_service: grpcService("gatehouse-access-log"),
    buffer_flush_interval: duration(1000),
    buffer_size_bytes: wrapped(16 * 1024),
  },
});

/**
 * The entries that tell something new: that a stream is alive, that one ended which was reported alive, and that a client
 * left an operation. The Check of a short call has said all there is to say about it; reporting its end, too, would cost
 * Envoy and us as much as deciding about it.
 */
function reported(intervalMs: number): Message {
  // Half: an end must never be left out after a periodic entry, which may come a little early.
  const value = { default_value: Math.floor(intervalMs / 2), runtime_key: "gatehouse.access_log.least_duration_ms" };
  return {
    or_filter: {
      filters: [
        { log_type_filter: { types: ["DownstreamPeriodic"] } },
        { duration_filter: { comparison: { op: "GE", value } } },
        ...sparkMethods
          .filter(({ executes }) => executes)
          .map(({ path }) => ({ header_filter: { header: { name: ":path", string_match: { exact: path } } } })),
      ],
    },
  };
}
