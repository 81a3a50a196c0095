import type { CatalogDriver } from "../../../src/drivers/catalog.ts";
import { Secret } from "../../../src/kernel/secret.ts";
import { defaultListenerLimits, type SnapshotSettings } from "../../../src/snapshots/settings.ts";

/** An installation with everything on Unix sockets except the access log, which is remote. */
export const exampleSettings: SnapshotSettings = {
  listen: { host: "0.0.0.0", port: 15003, minTls: "TLSv1.2" },
  check: { address: "unix:/run/gatehouse/check.sock", maxRequests: 1024 },
  process: { address: "127.0.0.1:9001", maxRequests: 1024 },
  accessLog: {
    address: "gatehouse.gatehouse.svc:9003",
    maxRequests: 64,
    tls: {
      certFile: "/etc/envoy/tls/tls.crt",
      keyFile: "/etc/envoy/tls/tls.key",
      caFile: "/etc/envoy/tls/ca.crt",
      serverName: "gatehouse.gatehouse.svc",
    },
  },
  inspection: "separate",
  holdLimitMs: 120_000,
  activityIntervalMs: 30_000,
  limits: defaultListenerLimits,
};

export const exampleCertificate = { chain: "the chain", key: new Secret("the key") };

export function exampleDriver(app: string, more: Partial<CatalogDriver> = {}): CatalogDriver {
  return {
    uid: `uid-${app}`,
    name: app,
    key: { cluster: "local", namespace: "sjns-data-dev", app },
    owner: "alice@dev",
    ownerUser: "alice",
    sharedWithGroups: [],
    profile: "interactive",
    phase: "ready",
    address: { host: "127.0.0.5", port: 15002 },
    token: new Secret("the driver's token"),
    createdAt: 1,
    draining: undefined,
    failure: undefined,
    ...more,
  };
}
