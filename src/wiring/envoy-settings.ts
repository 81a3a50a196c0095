import { resolve } from "node:path";
import type { Config } from "../config/resolve.ts";
import type { BootstrapSettings } from "../edges/envoy/encode-bootstrap.ts";
import { type ControlEndpoint, defaultListenerLimits, type SnapshotSettings } from "../snapshots/settings.ts";

/** The configuration in the words of Envoy's resources. */

/** Where each control server listens, once it does. */
export interface ControlAddresses {
  readonly check: string;
  readonly process: string;
  readonly accessLog: string;
}

export function snapshotSettings(config: Config, addresses: ControlAddresses): SnapshotSettings {
  const { listen, tls, hold, activity } = config;
  const at = (address: string) => endpoint(config, address);
  return {
    listen: { host: listen.address, port: listen.port, minTls: tls.min_version },
    check: at(addresses.check),
    process: { ...at(addresses.process), maxRequests: config.inspection.max_streams },
    accessLog: at(addresses.accessLog),
    inspection: config.inspection.mode,
    holdLimitMs: hold.limit_seconds * 1000,
    activityIntervalMs: activity.access_log_interval_seconds * 1000,
    limits: {
      ...defaultListenerLimits,
      maxConcurrentStreams: listen.max_concurrent_streams,
      streamWindowBytes: listen.stream_window_bytes,
      connectionWindowBytes: listen.connection_window_bytes,
    },
  };
}

export function bootstrapSettings(config: Config, own: { nodeId: string; admin: string }): BootstrapSettings {
  return { ...own, ads: endpoint(config, config.control.ads), maxConnections: config.listen.max_connections };
}

function endpoint(config: Config, address: string): ControlEndpoint {
  const { mtls, advertise_host: host, max_requests: maxRequests } = config.control;
  const base = { address: reachedAt(absoluteAddress(address), host), maxRequests };
  if (mtls === undefined) return base;
  const {
    certificate_file: certFile,
    private_key_file: keyFile,
    ca_file: caFile,
    server_name: serverName,
  } = mtls.envoy;
  return { ...base, tls: { certFile, keyFile, caFile, serverName } };
}

function reachedAt(address: string, host: string | undefined): string {
  if (host === undefined || address.startsWith("unix:")) return address;
  return `${host}${address.slice(address.lastIndexOf(":"))}`;
}

/** A Unix socket's path may be written relative to the working directory; Envoy's is another one. */
export function absoluteAddress(address: string): string {
  return address.startsWith("unix:") ? `unix:${resolve(address.slice("unix:".length))}` : address;
}
