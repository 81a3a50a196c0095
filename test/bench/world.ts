import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureCertificates } from "../../deploy/local/certificates.ts";
import { type ConfigTree, mergeConfig } from "../../deploy/local/gatehouse-config.ts";
import { freePort } from "../../deploy/local/ports.ts";
import { processStart } from "../../deploy/local/process-identity.ts";
import { driverName } from "../../src/drivers/driver-name.ts";
import { makeFolders, writeRecord } from "../../src/edges/local/state-file.ts";
import { sha256Hex } from "../../src/wiring/settings.ts";
import type { Scrape } from "../support/metrics.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { type Peer, startPeer } from "./children.ts";
import type { BenchContext } from "./context.ts";
import type { PeerOptions } from "./peer-envoys.ts";

export interface WorldOptions {
  /** Laid over the shipped configuration and the two profiles. */
  readonly config?: ConfigTree;
  /** For the Node that runs Gatehouse, such as `--cpu-prof`. Default none. */
  readonly nodeArguments?: readonly string[];
}

/** Gatehouse and its Envoy (one worker), with two drivers that answer at once. */
export interface GatehouseWorld {
  /** `https://localhost:PORT` of its Envoy. */
  readonly origin: string;
  readonly caFile: string;
  /** Names for `x-spark-session-id`; alice's. */
  readonly sessions: { readonly decision: string; readonly inspection: string };
  /** Where the driver without inspection answers; h2c. */
  readonly upstream: { readonly host: string; readonly port: number };
  /** What the peers' Envoys need to stand in for this one: `startPeerEnvoy`. */
  forPeers(): Promise<Pick<PeerOptions, "certificates" | "upstream" | "issuer">>;
  readonly gatehousePid: number;
  readonly envoyPid: number;
  readonly stack: Stack;
  /** A fresh one from the issuer. */
  token(user: string): Promise<string>;
  /** Writes a file of tokens for a load. @returns its path */
  tokensFile(tokens: readonly string[]): string;
  metrics(): Promise<Scrape>;
  /** How many records of each kind have been written so far. */
  audited(): Promise<{ readonly decisions: number; readonly operations: number }>;
  /** Ends everything. May be called more than once. */
  close(): Promise<void>;
}

const namespace = "sjns-analytics-dev";
const inspected = { plain: { inspection: false }, default: { inspection: true } };

/**
 * Gatehouse as it is shipped (audit, metrics, policy and access log on), with one driver for each of two profiles: `plain`
 * without inspection, `default` with it. The drivers are programs that answer at once, adopted from state files: a real one
 * takes milliseconds for a call, which would hide what the gateway adds.
 */
export async function startGatehouseWorld(context: BenchContext, options: WorldOptions = {}): Promise<GatehouseWorld> {
  const drivers: Peer[] = [];
  const stack = await startStack({
    start: ["issuer"],
    config: mergeConfig({ profiles: inspected }, options.config ?? {}),
    nodeArguments: options.nodeArguments ?? [],
  });
  const close = async (): Promise<void> => {
    // Gatehouse ends the drivers that it has adopted.
    await stack.stop();
    await Promise.all(drivers.map(async (driver) => await driver.stop()));
  };
  try {
    const port = await freePort();
    for (const [index, profile] of Object.keys(inspected).entries()) {
      const address = { host: `127.0.0.${index + 2}`, port };
      const driver = await startPeer(context.peers, ["upstream", "--listen", `${address.host}:${port}`]);
      drivers.push(driver);
      recordDriver(stack, { pid: driver.pid, address, profile });
    }
    await stack.gatehouse.start();
    await stack.envoy.start();
    return worldOf(stack, { upstream: { host: "127.0.0.2", port }, close });
  } catch (error) {
    await close();
    throw error;
  }
}

function worldOf(stack: Stack, { upstream, close }: Pick<GatehouseWorld, "upstream" | "close">): GatehouseWorld {
  const metrics = async (): Promise<Scrape> => await stack.metrics();
  let files = 0;
  return {
    origin: `https://localhost:${stack.ports.envoy}`,
    caFile: stack.caFile,
    sessions: { decision: `${namespace}.plain`, inspection: `${namespace}.default` },
    upstream,
    forPeers: async () => ({
      certificates: await ensureCertificates(join(stack.folder, "certificates")),
      upstream,
      issuer: { issuer: stack.issuerUrl, audience: "gatehouse", jwks: await keysOf(stack.issuerUrl) },
    }),
    gatehousePid: stack.gatehouse.pid,
    envoyPid: stack.envoy.pid,
    stack,
    token: async (user) => await stack.token(user),
    tokensFile(tokens) {
      files += 1;
      const file = join(stack.folder, `tokens-${files}.txt`);
      writeFileSync(file, `${tokens.join("\n")}\n`, { mode: 0o600 });
      return file;
    },
    metrics,
    async audited() {
      const scrape = await metrics();
      const written = (kind: string): number =>
        scrape.value("gatehouse_audit_records_total", { kind, outcome: "written" });
      return { decisions: written("decision"), operations: written("operation") };
    },
    close,
  };
}

/** The issuer's JWKS, found through its discovery document. */
async function keysOf(issuer: string): Promise<object> {
  const read = async (url: string): Promise<object> => (await (await fetch(url)).json()) as object;
  const discovery = (await read(`${issuer}/.well-known/openid-configuration`)) as { readonly jwks_uri: string };
  return await read(discovery.jwks_uri);
}

interface RecordedDriver {
  readonly pid: number;
  readonly address: { readonly host: string; readonly port: number };
  readonly profile: string;
}

/** As if an earlier Gatehouse had started it. */
function recordDriver(stack: Stack, { pid, address, profile }: RecordedDriver): void {
  const key = { cluster: "local", namespace, app: profile };
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
    process: { pid, startTime: processStart(pid) ?? "" },
    address,
    token: randomUUID(),
    createdAt: Date.now(),
  });
}
