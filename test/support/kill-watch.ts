import { connect as connectTls } from "node:tls";
import type { DriverRecord } from "../../src/decisions/audit.ts";
import { rawChannel } from "./raw-call.ts";
import { field, frame } from "./spark-wire.ts";
import type { ClientOptions, Stack } from "./stack.ts";

/** What Envoy made of what it was sent, since its start. */
export async function envoyAccepted(stack: Stack): Promise<Readonly<Record<string, number>>> {
  const scrape = await stack.envoyMetrics();
  const clusters = ["added", "modified", "removed"].map((what) => `envoy_cluster_manager_cluster_${what}`);
  const updates = ["envoy_cluster_manager_cds_update_success", "envoy_listener_manager_lds_update_success"];
  return Object.fromEntries([...clusters, ...updates].map((name) => [name, scrape.value(name)]));
}

/** What this run of Gatehouse has sent to Envoy: messages by type. */
export async function pushes(stack: Stack): Promise<Readonly<Record<string, number>>> {
  const scrape = await stack.metrics();
  const types = ["cluster", "endpoints", "secret", "listener", "route"];
  return Object.fromEntries(types.map((type) => [type, scrape.value("gatehouse_xds_pushes_total", { type })]));
}

/** Bytes of request bodies that Envoy has sent for inspection. */
export async function inspectedBytes(stack: Stack): Promise<number> {
  const cluster = { envoy_cluster_name: "gatehouse-process" };
  return (await stack.envoyMetrics()).value("envoy_cluster_upstream_cx_tx_bytes_total", cluster);
}

/** How often Envoy has tried in vain to reach ADS; 0 where Envoy does not answer yet. */
export async function failedAdsTries(stack: Stack): Promise<number> {
  const scrape = await stack.envoyMetrics().catch(() => undefined);
  return scrape?.value("envoy_cluster_upstream_cx_connect_fail", { envoy_cluster_name: "gatehouse-ads" }) ?? 0;
}

/** One small call, without a client that tries again. */
export async function callOnce(
  stack: Stack,
  client: ClientOptions,
): Promise<{ readonly code: number | undefined; readonly message: string }> {
  const token = client.token ?? (await stack.token(client.user));
  const channel = rawChannel({
    url: `https://localhost:${stack.ports.envoy}`,
    caFile: stack.caFile,
    headers: { authorization: `Bearer ${token}`, "x-spark-session-id": client.session ?? "" },
  });
  const outcome = await channel.call("Config", frame(field(1, "5eed5eed-0001-4002-8003-000000000001")));
  channel.close();
  return outcome;
}

/** The serial number of the certificate that a new connection is shown, in lower-case hex. */
export async function servedSerial(stack: Stack): Promise<string> {
  const at = { host: "127.0.0.1", port: stack.ports.envoy, servername: "localhost", ALPNProtocols: ["h2"] };
  const socket = connectTls({ ...at, rejectUnauthorized: false });
  await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber.toLowerCase();
}

/** What was audited about drivers, oldest first. */
export async function driverRecords(stack: Stack): Promise<readonly DriverRecord[]> {
  return (await stack.audit()).flatMap((record) => (record.kind === "driver" ? [record] : []));
}
