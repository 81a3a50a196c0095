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
  return {
    ...ourServer(name, endpoint, "h2"),
    circuit_breakers: circuitBreakers(endpoint.maxRequests),
    typed_extension_protocol_options: http2({
      connection_keepalive: { interval: duration(4000), timeout: duration(3000) },
      initial_stream_window_size: wrapped(256 * 1024),
      initial_connection_window_size: wrapped(4 * 1024 * 1024),
    }),
  };
}

/**
 * The one of our servers that speaks HTTP/1.1: a connection for each call under way, which only Envoy closes when it is idle. There
 * is no PING, but each question has its own limit of time.
 */
export function checkCluster(name: string, endpoint: ControlEndpoint): Message {
  return {
    ...ourServer(name, endpoint, "http/1.1"),
    circuit_breakers: circuitBreakers(endpoint.maxRequests, {
      connections: endpoint.maxRequests,
      retries: endpoint.maxRequests,
    }),
    typed_extension_protocol_options: protocol({
      common_http_protocol_options: { idle_timeout: duration(60_000) },
      explicit_http_config: { http_protocol_options: {} },
    }),
  };
}

function ourServer(name: string, endpoint: ControlEndpoint, protocolName: "h2" | "http/1.1"): Message {
  return {
    name,
    type: discoveryType(endpoint.address),
    connect_timeout: duration(2000),
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(endpoint.address) } }] }],
    },
    ...(endpoint.tls !== undefined && { transport_socket: clientTls(endpoint.tls, protocolName) }),
  };
}

/** Both limits of concurrent calls; retries are the client's business, but for Check's turns. */
export function circuitBreakers(maxRequests: number, { connections = 1024, retries = 0 } = {}): Message {
  return {
    thresholds: [
      {
        priority: "DEFAULT",
        max_connections: wrapped(connections),
        max_pending_requests: wrapped(maxRequests),
        max_requests: wrapped(maxRequests),
        max_retries: wrapped(retries),
      },
    ],
  };
}

export function http2(options: Message): Message {
  return protocol({ explicit_http_config: { http2_protocol_options: options } });
}

function protocol(options: Message): Message {
  const name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  return { [name]: any(name, options) };
}

function clientTls(tls: ClientTlsFiles, protocolName: "h2" | "http/1.1"): Message {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
      sni: tls.serverName,
      common_tls_context: {
        tls_params: { tls_minimum_protocol_version: "TLSv1_2" },
        alpn_protocols: [protocolName],
        tls_certificates: [{ certificate_chain: { filename: tls.certFile }, private_key: { filename: tls.keyFile } }],
        validation_context: {
          trusted_ca: { filename: tls.caFile },
          match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: tls.serverName } }],
        },
      },
    }),
  };
}
