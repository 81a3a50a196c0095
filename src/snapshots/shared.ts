import { any, duration, wrapped } from "./messages.ts";
import type { Message } from "./resource.ts";
import type { ClientTlsFiles, ControlEndpoint } from "./settings.ts";

/** "From the ADS stream." Waits for ever unless told otherwise: Envoy may start before Gatehouse has read its drivers. */
export function fromAds(initialFetchTimeoutMs = 0): Message {
  return { ads: {}, resource_api_version: "V3", initial_fetch_timeout: duration(initialFetchTimeoutMs) };
}

/** `unix:/path` or `host:port` as an Envoy address. An IPv6 address is written in brackets. */
export function address(text: string): Message {
  if (text.startsWith("unix:")) return { pipe: { path: text.slice("unix:".length) } };
  const colon = text.lastIndexOf(":");
  return socketAddress(text.slice(0, colon).replace(/^\[|\]$/g, ""), Number(text.slice(colon + 1)));
}

export function socketAddress(host: string, port: number): Message {
  return { socket_address: { address: host, port_value: port } };
}

/** STATIC for sockets and IP addresses; a DNS name is looked up. */
function discoveryType(text: string): "STATIC" | "STRICT_DNS" {
  return text.startsWith("unix:") || text.startsWith("[") || /^\d+\.\d+\.\d+\.\d+:/.test(text)
    ? "STATIC"
    : "STRICT_DNS";
}

/** A call to one of Gatehouse's clusters. Without a timeout it may last for ever. */
export function grpcService(cluster: string, timeoutMs?: number): Message {
  const service: Message = { envoy_grpc: { cluster_name: cluster, skip_envoy_headers: true } };
  return timeoutMs === undefined ? service : { ...service, timeout: duration(timeoutMs) };
}

/**
 * A cluster of Gatehouse's own servers. PING every 4 s (Envoy adds up to 15 %), answered within 3 s: a hung Gatehouse fails calls within 8 s.
 */
export function controlCluster(name: string, endpoint: ControlEndpoint): Message {
  const cluster: Message = {
    name,
    type: discoveryType(endpoint.address),
    connect_timeout: duration(2000),
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(endpoint.address) } }] }],
    },
    circuit_breakers: circuitBreakers(endpoint.maxRequests),
    typed_extension_protocol_options: http2({
      connection_keepalive: { interval: duration(4000), timeout: duration(3000) },
      initial_stream_window_size: wrapped(256 * 1024),
      initial_connection_window_size: wrapped(4 * 1024 * 1024),
    }),
  };
  return endpoint.tls === undefined ? cluster : { ...cluster, transport_socket: clientTls(endpoint.tls) };
}

/** Both limits of concurrent calls; retries are the client's business. */
export function circuitBreakers(maxRequests: number): Message {
  return {
    thresholds: [
      {
        priority: "DEFAULT",
        max_connections: wrapped(1024),
        max_pending_requests: wrapped(maxRequests),
        max_requests: wrapped(maxRequests),
        max_retries: wrapped(0),
      },
    ],
  };
}

export function http2(options: Message): Message {
  return {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any(
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      { explicit_http_config: { http2_protocol_options: options } },
    ),
  };
}

function clientTls(tls: ClientTlsFiles): Message {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
      sni: tls.serverName,
      common_tls_context: {
        tls_params: { tls_minimum_protocol_version: "TLSv1_2" },
        alpn_protocols: ["h2"],
        tls_certificates: [{ certificate_chain: { filename: tls.certFile }, private_key: { filename: tls.keyFile } }],
        validation_context: {
          trusted_ca: { filename: tls.caFile },
          match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: tls.serverName } }],
        },
      },
    }),
  };
}
