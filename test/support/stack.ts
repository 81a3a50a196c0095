import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureCertificates } from "../../deploy/local/certificates.ts";
import { classArchiveArguments } from "../../deploy/local/class-archive.ts";
import { type ConfigTree, localConfig, mergeConfig } from "../../deploy/local/gatehouse-config.ts";
import { developmentUsers, type IssuerUser } from "../../deploy/local/issuer-options.ts";
import { makeLayout } from "../../deploy/local/layout.ts";
import { endLeftoverDrivers } from "../../deploy/local/leftover-drivers.ts";
import { freePort } from "../../deploy/local/ports.ts";
import { fetchToken } from "../../deploy/local/tokens.ts";
import { ensureTools, type OptionalTool, type Tools } from "../../deploy/local/tools.ts";
import type { AuditRecord } from "../../src/decisions/audit.ts";
import { logFile, readRecords } from "../../src/edges/local/state-file.ts";
import { displayKey } from "../../src/sessions/session-key.ts";
import { parseMetrics, type Scrape } from "./metrics.ts";
import { type PysparkRun, startPyspark } from "./pyspark.ts";
import type { StackPart } from "./stack-part.ts";
import { type StackPorts, stackParts } from "./stack-parts.ts";
import { type Forgery, forgeToken } from "./stack-tokens.ts";

export interface StackOptions {
  /** Laid over the quick start's configuration. Mappings merge, lists are replaced. */
  readonly config?: ConfigTree;
  /** Beside Spark 4.1; where `spark35` is named, its installation is configured too. */
  readonly tools?: readonly OptionalTool[];
  /** Default 12 h. */
  readonly tokenLifetimeSeconds?: number;
  /** Default alice, bob and carol; see `developmentUsers`. */
  readonly users?: readonly IssuerUser[];
  /** For the Node that runs Gatehouse, such as `--cpu-prof`. Default none. */
  readonly nodeArguments?: readonly string[];
  /** What is started, in this order. Default the issuer, Gatehouse and Envoy. */
  readonly start?: readonly ("issuer" | "gatehouse" | "envoy")[];
}

export interface ClientOptions {
  readonly user: string;
  /** `namespace.app`; without it the user's default session is meant. */
  readonly session?: string;
  /** Instead of a fresh token of the user's. */
  readonly token?: string;
  /** Added to the URL, such as `user_id=mallory`. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Default `localhost`. */
  readonly host?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default PySpark 4.1's Python. */
  readonly python?: string;
  readonly timeoutMs?: number;
}

export interface StackDriver {
  /** `namespace/app` */
  readonly session: string;
  readonly uid: string;
  readonly pid: number | undefined;
  readonly address: string | undefined;
  readonly logFile: string;
}

/** The whole path on real parts, in a folder of its own, on ports and driver addresses of its own. */
export interface Stack {
  readonly folder: string;
  readonly caFile: string;
  readonly ports: StackPorts;
  readonly httpUrl: string;
  readonly issuerUrl: string;
  readonly tools: Tools;
  readonly gatehouse: StackPart;
  readonly envoy: StackPart;
  readonly issuer: StackPart;
  /** A fresh token from the issuer; with a forgery, one that is made here with the issuer's own key. */
  token(user: string, forgery?: Forgery): Promise<string>;
  /** The connection URL of a stock client. */
  url(client: ClientOptions): Promise<string>;
  /** Starts a script of `test/support/py` with a stock client; `run.done` is its result. */
  pyspark(script: string, client: ClientOptions): Promise<PysparkRun>;
  /** The drivers that the runtime has on record, with their processes and logs. */
  drivers(): readonly StackDriver[];
  /** What the driver of that session has logged. @throws Error where it has none */
  driverLog(session: string): Promise<string>;
  /** All records so far, oldest first. */
  audit(): Promise<readonly AuditRecord[]>;
  metrics(): Promise<Scrape>;
  envoyMetrics(): Promise<Scrape>;
  /** What the next start of Gatehouse or Envoy has laid over its configuration, on top of what it had. */
  reconfigure(over: ConfigTree): void;
  /** Ends everything, by process id, and removes the folder. May be called more than once. */
  stop(): Promise<void>;
}

/** Starts a stack; where that fails, nothing is left running. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const tell = (line: string): void => void process.stderr.write(`${line}\n`);
  const tools = await ensureTools(options.tools ?? [], tell);
  const javaArguments = await classArchiveArguments(tools, tell);
  const folder = await mkdtemp(join(tmpdir(), "gh-"));
  const layout = makeLayout(folder);
  const certificates = await ensureCertificates(layout.certificates);
  const ports = await stackPorts();
  const issuerUrl = `http://127.0.0.1:${ports.issuer}`;
  const httpUrl = `http://127.0.0.1:${ports.http}`;
  let config = mergeConfig(
    localConfig({ layout, certificates, issuerUrl, ports, tools, javaArguments }),
    options.config ?? {},
  );
  const parts = stackParts({
    layout,
    ports,
    config: () => config,
    envoy: tools.envoy,
    tokenLifetimeSeconds: options.tokenLifetimeSeconds ?? 12 * 3600,
    users: options.users ?? developmentUsers,
    nodeArguments: options.nodeArguments ?? [],
  });
  const stack: Stack = {
    folder,
    caFile: certificates.caFile,
    ports,
    httpUrl,
    issuerUrl,
    tools,
    ...parts,
    async token(user, forgery) {
      if (forgery === undefined) return await fetchToken({ url: issuerUrl, folder: layout.issuer }, user);
      return await forgeToken({ url: issuerUrl, folder: layout.issuer }, user, forgery);
    },
    async url(client) {
      const token = client.token ?? (await stack.token(client.user));
      const named = client.session === undefined ? {} : { "x-spark-session-id": client.session };
      const parameters = Object.entries({ use_ssl: "true", token, ...named, ...client.parameters });
      const text = parameters.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join(";");
      return `sc://${client.host ?? "localhost"}:${ports.envoy}/;${text}`;
    },
    async pyspark(script, client) {
      return startPyspark({
        python: client.python ?? tools.python,
        script,
        args: client.args ?? [],
        env: {
          GATEHOUSE_URL: await stack.url(client),
          GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: certificates.caFile,
          ...client.env,
        },
        ...(client.timeoutMs === undefined ? {} : { timeoutMs: client.timeoutMs }),
      });
    },
    drivers() {
      if (!existsSync(join(layout.drivers, "drivers"))) return [];
      return readRecords(layout.drivers).records.map((record) => ({
        session: displayKey(record.key),
        uid: record.uid,
        pid: record.process?.pid,
        address: record.address?.host,
        logFile: logFile(layout.drivers, record),
      }));
    },
    async driverLog(session) {
      const driver = stack.drivers().find((each) => each.session === session);
      if (driver === undefined) throw new Error(`no driver on record for ${session}`);
      return await readFile(driver.logFile, "utf8");
    },
    async audit() {
      const text = await readFile(layout.auditFile, "utf8").catch(() => "");
      const whole = text.slice(0, text.lastIndexOf("\n") + 1);
      return whole.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as AuditRecord]));
    },
    metrics: async () => await scrape(`${httpUrl}/metrics`),
    envoyMetrics: async () => await scrape(`http://127.0.0.1:${ports.admin}/stats/prometheus`),
    reconfigure(over) {
      config = mergeConfig(config, over);
    },
    async stop() {
      // Envoy first: nothing new comes in while Gatehouse ends its drivers.
      for (const part of [parts.envoy, parts.gatehouse, parts.issuer]) await part.end();
      await endLeftoverDrivers(layout.drivers);
      if (layout.socketsAreTemporary) await rm(layout.sockets, { recursive: true, force: true });
      if (process.env["GATEHOUSE_KEEP_STACKS"] !== "1") await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    const wanted = options.start ?? ["issuer", "gatehouse", "envoy"];
    for (const name of wanted) await parts[name].launch();
    for (const name of wanted) await parts[name].ready();
    return stack;
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

async function stackPorts(): Promise<StackPorts> {
  const taken = new Set<number>();
  const next = async (): Promise<number> => {
    const port = await freePort(undefined, taken);
    taken.add(port);
    return port;
  };
  return { envoy: await next(), admin: await next(), http: await next(), issuer: await next() };
}

async function scrape(url: string): Promise<Scrape> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return parseMetrics(await response.text());
}
