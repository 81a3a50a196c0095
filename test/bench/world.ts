import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../deploy/local/ports.ts";
import { processStart } from "../../deploy/local/process-identity.ts";
import { driverName } from "../../src/drivers/driver-name.ts";
import { makeFolders, writeRecord } from "../../src/edges/local/state-file.ts";
import { sha256Hex } from "../../src/wiring/settings.ts";
import { type RunningEnvoy, startEnvoy } from "../support/envoy.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { message, program } from "./children.ts";

/** The variants that are measured, each a session of its own or an Envoy of its own. */
export interface World {
  /** `https://localhost:port` of the Envoy without any filter of ours. */
  readonly bare: string;
  readonly gatehouse: string;
  readonly ca: string;
  readonly token: string;
  readonly stack: Stack;
  close(): Promise<void>;
}

export const sessions = { decision: "sjns-analytics-dev.plain", inspection: "sjns-analytics-dev.default" } as const;

/**
 * Gatehouse as it is shipped (audit, metrics and policy on) with one driver for each of two profiles: `plain` without
 * inspection, `default` with it. The drivers are programs that answer at once, adopted from state files.
 */
export async function startWorld(): Promise<World> {
  const upstreams: ChildProcess[] = [];
  const stack = await startStack({
    start: ["issuer"],
    config: { profiles: { plain: { inspection: false } } },
  });
  let bare: RunningEnvoy | undefined;
  const close = async (): Promise<void> => {
    await bare?.stop();
    await stack.stop();
    for (const upstream of upstreams) upstream.kill("SIGKILL");
  };
  try {
    const port = await freePort();
    for (const [index, profile] of ["plain", "default"].entries()) {
      upstreams.push(await startUpstream(stack, { host: `127.0.0.${index + 2}`, port, profile }));
    }
    await stack.gatehouse.start();
    await stack.envoy.start();
    const barePort = await freePort();
    const folder = join(stack.folder, "bare");
    mkdirSync(folder);
    const bootstrap = bareEnvoy(stack, { port: barePort, upstream: { host: "127.0.0.2", port } });
    bare = await startEnvoy({ envoy: stack.tools.envoy, bootstrap, folder });
    return {
      bare: `https://localhost:${barePort}`,
      gatehouse: `https://localhost:${stack.ports.envoy}`,
      ca: readFileSync(stack.caFile, "utf8"),
      token: await stack.token("alice"),
      stack,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startUpstream(
  stack: Stack,
  { host, port, profile }: { host: string; port: number; profile: string },
): Promise<ChildProcess> {
  const child = program("upstream-process.ts", [host, String(port)]);
  await message(child);
  const key = { cluster: "local", namespace: "sjns-analytics-dev", app: profile };
  const folder = join(stack.folder, "drivers");
  makeFolders(folder);
  writeRecord(folder, {
    v: 1,
    uid: randomUUID(),
    name: driverName(key, sha256Hex),
    key,
    owner: "alice@local",
    ownerUser: "alice",
    sharedWithGroups: [],
    profile,
    phase: "ready",
    process: { pid: child.pid ?? 0, startTime: processStart(child.pid ?? 0) ?? "" },
    address: { host, port },
    token: randomUUID(),
    createdAt: Date.now(),
  });
  return child;
}

/** The same TLS, the same protocol options and the same upstream, and no filter but the router. */
function bareEnvoy(
  stack: Stack,
  { port, upstream }: { port: number; upstream: { host: string; port: number } },
): object {
  const socket = (address: string, value: number) => ({ socket_address: { address, port_value: value } });
  const v3 = "type.googleapis.com/envoy.extensions";
  const certificates = join(stack.folder, "certificates");
  const manager = {
    "@type": `${v3}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    codec_type: "HTTP2",
    stat_prefix: "bare",
    route_config: {
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [{ match: { prefix: "/" }, route: { cluster: "upstream", timeout: "0s" } }],
        },
      ],
    },
    http_filters: [
      { name: "envoy.filters.http.router", typed_config: { "@type": `${v3}.filters.http.router.v3.Router` } },
    ],
  };
  const tls = {
    "@type": `${v3}.transport_sockets.tls.v3.DownstreamTlsContext`,
    common_tls_context: {
      alpn_protocols: ["h2"],
      tls_certificates: [
        {
          certificate_chain: { filename: join(certificates, "server.pem") },
          private_key: { filename: join(certificates, "server-key.pem") },
        },
      ],
    },
  };
  const http2 = {
    "@type": `${v3}.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  };
  return {
    admin: { address: socket("127.0.0.1", 0) },
    static_resources: {
      listeners: [
        {
          name: "bare",
          address: socket("127.0.0.1", port),
          filter_chains: [
            {
              filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }],
              transport_socket: { name: "envoy.transport_sockets.tls", typed_config: tls },
            },
          ],
        },
      ],
      clusters: [
        {
          name: "upstream",
          type: "STATIC",
          typed_extension_protocol_options: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2 },
          load_assignment: {
            cluster_name: "upstream",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(upstream.host, upstream.port) } }] }],
          },
        },
      ],
    },
  };
}
