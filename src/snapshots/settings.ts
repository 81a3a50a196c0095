import type { Secret } from "../kernel/secret.ts";

/** Paths of PEM files on Envoy's machine, for mutual TLS with Gatehouse. Never over SDS: it must work before ADS does. */
export interface ClientTlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** The name that Gatehouse's certificate must carry. */
  readonly serverName: string;
}

/** Where Envoy finds one of Gatehouse's servers: `unix:/absolute/path` or `host:port` (an IP address, or a DNS name). */
export interface ControlEndpoint {
  readonly address: string;
  readonly tls?: ClientTlsFiles;
  /** Calls at once from one Envoy; more fail at once. */
  readonly maxRequests: number;
}

/** The chain and key that Envoy's listener shows, PEM. */
export interface ServerCertificate {
  readonly chain: string;
  readonly key: Secret;
}

export interface ListenerLimits {
  /** Streams at once on one client connection. */
  readonly maxConcurrentStreams: number;
  /** HTTP/2 receive windows for clients, in bytes. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** All request headers of one call together, in KiB. */
  readonly maxRequestHeadersKb: number;
  /** Requests at once on one driver. */
  readonly maxRequestsPerDriver: number;
}

/** What the installation decides about Envoy. Times in milliseconds. */
export interface SnapshotSettings {
  /** Where Envoy listens for clients: an IP address and a port (0: any free one), and the oldest TLS version. */
  readonly listen: { readonly host: string; readonly port: number; readonly minTls: "TLSv1.2" | "TLSv1.3" };
  readonly check: ControlEndpoint;
  readonly process: ControlEndpoint;
  readonly accessLog: ControlEndpoint;
  /** Whether ext_authz decides and ext_proc inspects ("separate"), or ext_proc does both. */
  readonly inspection: "separate" | "fused";
  /** How long a call may be held for its driver; ext_authz gives up 5 s later. */
  readonly holdLimitMs: number;
  /** How often a living stream reports itself. */
  readonly activityIntervalMs: number;
  readonly limits: ListenerLimits;
}

/** Limits that suit interactive use; see docs/design/001. */
export const defaultListenerLimits: ListenerLimits = {
  maxConcurrentStreams: 100,
  streamWindowBytes: 64 * 1024,
  connectionWindowBytes: 1024 * 1024,
  maxRequestHeadersKb: 60,
  maxRequestsPerDriver: 4096,
};
