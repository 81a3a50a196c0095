import { rmSync } from "node:fs";
import { rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { ensureCertificates } from "./certificates.ts";
import { privateFolder, writePrivateFile } from "./files.ts";
import { localConfig } from "./gatehouse-config.ts";
import { developmentUsers } from "./issuer-options.ts";
import { type Layout, makeLayout } from "./layout.ts";
import { endLeftoverDrivers } from "./leftover-drivers.ts";
import {
  envoyReady,
  gatehouseReady,
  issuerReady,
  startEnvoyProcess,
  startGatehouseProcess,
  startIssuerProcess,
} from "./parts.ts";
import { freePort, portHolder, portIsFree } from "./ports.ts";
import type { Child } from "./processes.ts";
import type { Progress } from "./progress.ts";
import { type QuickstartLock, takeLock } from "./quickstart-lock.ts";
import { fetchToken } from "./tokens.ts";
import type { Tools } from "./tools.ts";

export interface QuickstartPorts {
  readonly envoy: number;
  readonly admin: number;
  readonly http: number;
  readonly issuer: number;
}

/** What `.gatehouse/quickstart.json` says while the quick start runs; for scripts and tests. */
export interface QuickstartFacts {
  /** Append `;token=<token>;x-spark-session-id=<namespace>.<app>`. */
  readonly url: string;
  readonly ca_file: string;
  readonly tokens: Readonly<Record<"alice" | "bob" | "carol", string>>;
  readonly ports: QuickstartPorts;
  readonly issuer: string;
  readonly http_url: string;
  readonly audit_file: string;
  readonly pids: { readonly envoy: number; readonly gatehouse: number; readonly issuer: number };
  readonly python: string;
  readonly log_files: { readonly envoy: string; readonly gatehouse: string; readonly issuer: string };
}

export interface RunningQuickstart {
  readonly facts: QuickstartFacts;
  readonly children: readonly Child[];
}

export interface QuickstartOptions {
  readonly folder: string;
  readonly port: number;
  readonly tools: Tools;
  /** For the drivers; see `class-archive.ts`. */
  readonly javaArguments: readonly string[];
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

const tokenLifetimeSeconds = 12 * 3600;
const neededBytes = 256 * 1024 * 1024;

/**
 * Starts the issuer, Gatehouse and Envoy, waits until all serve, gives them to `use`, and ends everything afterwards,
 * however it went: Envoy, Gatehouse with its drivers, the issuer.
 * @throws Error whose first line says what is wrong
 */
export async function withQuickstart(
  options: QuickstartOptions,
  use: (running: RunningQuickstart) => Promise<void>,
): Promise<void> {
  const { folder, progress } = options;
  privateFolder(folder);
  const lock = await takeLock(join(folder, "quickstart.lock"), progress);
  const children: Child[] = [];
  let layout: Layout | undefined;
  try {
    await checkDisk(folder);
    layout = makeLayout(folder);
    await endLeftoverDrivers(layout.drivers);
    await rm(layout.logs, { recursive: true, force: true });
    privateFolder(layout.logs);
    const ports = await choosePorts(options.port);
    const facts = await startAll({ ...options, layout, ports, lock, children });
    await use({ facts, children });
  } finally {
    await endAll(children, layout, progress);
    lock.release();
  }
}

async function checkDisk(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= neededBytes) return;
  const mebibytes = Math.floor((bavail * bsize) / 1024 / 1024);
  throw new Error(`not enough disk space for ${folder}: ${mebibytes} MiB are free, 256 MiB are needed`);
}

async function choosePorts(envoy: number): Promise<QuickstartPorts> {
  if (!(await portIsFree(envoy))) {
    const holder = portHolder(envoy);
    const by = holder === undefined ? "" : ` (by process ${holder})`;
    throw new Error(
      `port ${envoy} is in use${by}: stop what uses it, or set GATEHOUSE_QUICKSTART_PORT to another port`,
    );
  }
  const taken = new Set([envoy]);
  const next = async (preferred: number): Promise<number> => {
    const port = await freePort(preferred, taken);
    taken.add(port);
    return port;
  };
  return { envoy, admin: await next(15004), http: await next(15010), issuer: await next(15011) };
}

interface StartOptions extends QuickstartOptions {
  readonly layout: Layout;
  readonly ports: QuickstartPorts;
  readonly lock: QuickstartLock;
  /** Filled while they start, so that a start that fails half-way is ended too. */
  readonly children: Child[];
}

async function startAll(options: StartOptions): Promise<QuickstartFacts> {
  const { layout, ports, progress, tools, signal, children } = options;
  const started = (child: Child): Child => {
    children.push(child);
    options.lock.add(child);
    return child;
  };
  const wait = { deadlineMs: 60_000, children, signal };
  const issuerUrl = `http://127.0.0.1:${ports.issuer}`;
  const httpUrl = `http://127.0.0.1:${ports.http}`;
  const certificates = await ensureCertificates(layout.certificates);
  const config = localConfig({ layout, certificates, issuerUrl, ports, tools, javaArguments: options.javaArguments });
  const issuer = started(
    await startIssuerProcess(layout, {
      host: "127.0.0.1",
      port: ports.issuer,
      folder: layout.issuer,
      audience: "gatehouse",
      tokenLifetimeSeconds,
      users: developmentUsers,
    }),
  );
  const gatehouse = started(await startGatehouseProcess(layout, config));
  const envoy = started(await startEnvoyProcess(layout, { program: tools.envoy, adminPort: ports.admin, config }));
  await issuerReady(issuerUrl, wait);
  progress(`The issuer answers at ${issuerUrl}`);
  await gatehouseReady(httpUrl, wait);
  progress(`Gatehouse is ready; its HTTP side is ${httpUrl}`);
  await envoyReady(ports, wait);
  progress(`Envoy is listening on localhost:${ports.envoy}`);
  const place = { url: issuerUrl, folder: layout.issuer };
  const [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((user) => fetchToken(place, user)));
  const facts: QuickstartFacts = {
    url: `sc://localhost:${ports.envoy}/;use_ssl=true`,
    ca_file: certificates.caFile,
    tokens: { alice: alice ?? "", bob: bob ?? "", carol: carol ?? "" },
    ports,
    issuer: issuerUrl,
    http_url: httpUrl,
    audit_file: layout.auditFile,
    pids: { envoy: envoy.pid, gatehouse: gatehouse.pid, issuer: issuer.pid },
    python: tools.python,
    log_files: { envoy: envoy.logFile, gatehouse: gatehouse.logFile, issuer: issuer.logFile },
  };
  writePrivateFile(layout.factsFile, `${JSON.stringify(facts, undefined, 2)}\n`);
  return facts;
}

/** In this order: nothing new comes in, drivers end with Gatehouse, and its tokens' keys go last. */
async function endAll(children: readonly Child[], layout: Layout | undefined, progress: Progress): Promise<void> {
  if (layout !== undefined) rmSync(layout.factsFile, { force: true });
  if (children.length > 0) progress("Ending Envoy, Gatehouse with its drivers, and the issuer");
  const graces = [5000, 30_000, 5000];
  for (const child of children.toReversed()) {
    await child.stop(graces[children.indexOf(child)] ?? 5000);
  }
  if (layout === undefined) return;
  await endLeftoverDrivers(layout.drivers);
  if (layout.socketsAreTemporary) rmSync(layout.sockets, { recursive: true, force: true });
}
