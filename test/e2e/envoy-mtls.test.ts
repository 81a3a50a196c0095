import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ensureCertificates } from "../../deploy/local/certificates.ts";
import { type Ads, createAds, createEnvoyCache } from "../../src/edges/envoy/ads.ts";
import { bootstrapOf } from "../../src/edges/envoy/encode-bootstrap.ts";
import { type ControlServer, startControlServer } from "../../src/edges/envoy/server.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";
import { Secret } from "../../src/kernel/secret.ts";
import { buildSnapshot } from "../../src/snapshots/build.ts";
import { type ClientTlsFiles, defaultListenerLimits } from "../../src/snapshots/settings.ts";
import { issueClientCertificate } from "../support/client-certificate.ts";
import { type RunningEnvoy, startEnvoy } from "../support/envoy.ts";
import { testTools } from "../support/tools.ts";
import { until } from "../support/until.ts";

// Envoy and Gatehouse on different machines: ADS over TCP with mutual TLS, from files on both sides.

let folder: string;
let server: ControlServer;
let ads: Ads;
let tls: ClientTlsFiles;
const envoys: RunningEnvoy[] = [];

async function envoyWith(clientTls: ClientTlsFiles | undefined): Promise<RunningEnvoy> {
  const own = mkdtempSync(join(folder, "envoy-"));
  const address = server.address;
  const ads = { address, maxRequests: 16, ...(clientTls === undefined ? {} : { tls: clientTls }) };
  const bootstrap = bootstrapOf({ nodeId: "envoy-test", ads, admin: "127.0.0.1:0", maxConnections: 100 });
  const envoy = await startEnvoy({ envoy: (await testTools()).envoy, bootstrap, folder: own });
  envoys.push(envoy);
  return envoy;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gatehouse-mtls-"));
  const { caFile, certFile, keyFile } = await ensureCertificates(folder);
  tls = { ...(await issueClientCertificate(folder)), caFile, serverName: "localhost" };
  const cache = createEnvoyCache();
  ads = createAds({ cache, clock: systemClock, log: silentLog, metrics: noMetrics });
  server = await startControlServer({
    address: "127.0.0.1:0",
    tls: { caFile, certFile, keyFile },
    services: [ads.service],
  });
  const control = { address: server.address, tls, maxRequests: 16 };
  const settings = {
    listen: { host: "127.0.0.1", port: 0, minTls: "TLSv1.3" },
    check: control,
    process: control,
    accessLog: control,
    inspection: "separate",
    holdLimitMs: 1000,
    activityIntervalMs: 1000,
    limits: defaultListenerLimits,
  } as const;
  const certificate = { chain: readFileSync(certFile, "utf8"), key: new Secret(readFileSync(keyFile, "utf8")) };
  cache.replace(buildSnapshot({ generation: 0, drivers: [] }, settings, certificate).resources);
});

afterAll(async () => {
  for (const envoy of envoys) await envoy.stop();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("ADS over mutual TLS", () => {
  it("serves an Envoy with a certificate of our authority", async () => {
    const envoy = await envoyWith(tls);
    expect(await envoy.clientPort()).toBeGreaterThan(0);
    expect(ads.streams).toBe(1);
    expect(await envoy.stat("cluster_manager.cds.update_rejected")).toBe(0);
    await envoy.stop();
    await until(() => ads.streams === 0);
  });

  it.each<[string, () => Promise<ClientTlsFiles | undefined>]>([
    ["no TLS", async () => undefined],
    [
      "a certificate of another authority",
      async () => {
        const other = mkdtempSync(join(folder, "other-"));
        await ensureCertificates(other);
        return { ...tls, ...(await issueClientCertificate(other)) };
      },
    ],
    ["the wish for another server", async () => ({ ...tls, serverName: "elsewhere" })],
  ])("gives an Envoy with %s nothing", async (_what, clientTls) => {
    const envoy = await envoyWith(await clientTls());
    const failed = async () =>
      (await envoy.stat("cluster.gatehouse-ads.upstream_rq_pending_failure_eject")) > 0 ||
      (await envoy.stat("cluster.gatehouse-ads.upstream_cx_destroy_remote_with_active_rq")) > 0;
    await until(failed, { what: "a failed attempt" });
    // In TLS 1.3 a client counts as connected for a moment, until the server's refusal of its certificate arrives.
    await until(async () => (await envoy.stat("control_plane.connected_state")) === 0);
    expect(await envoy.stat("cluster_manager.cds.update_success")).toBe(0);
    expect(ads.streams).toBe(0);
    await envoy.stop();
  });
});
