import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { steadySpeed } from "../../deploy/local/parts.ts";
import { loadConfig } from "../../src/config/load.ts";
import { encodeResource } from "../../src/edges/envoy/encode.ts";
import { readCertificate } from "../../src/edges/tls/certificate-files.ts";
import { buildSnapshot } from "../../src/snapshots/build.ts";
import { typeUrls } from "../../src/snapshots/resource.ts";
import { snapshotSettings } from "../../src/wiring/envoy-settings.ts";
import { certificateFiles } from "../../src/wiring/settings.ts";
import { message } from "./children.ts";
import type { XdsAnswer, XdsOrder } from "./xds-orders.ts";

/** An ADS server in a process of its own that does what it is told. */
export interface XdsServer {
  readonly pid: number;
  /** Resolves when it is carried out. @throws Error when the server ends early */
  order(order: XdsOrder): Promise<XdsAnswer>;
  /** Resolves when the process is gone. */
  stop(): Promise<void>;
}

/** Gatehouse with all its servers, at the addresses of that configuration file. */
export async function startGatehouse(configFile: string): Promise<XdsServer> {
  const child = fork(fileURLToPath(new URL("xds-gatehouse-process.ts", import.meta.url)), [configFile], {
    execArgv: [...steadySpeed, "--expose-gc", "--import", import.meta.resolve("tsx")],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  await message(child);
  return {
    pid: child.pid ?? 0,
    async order(order) {
      child.send(order);
      return await message<XdsAnswer>(child);
    },
    async stop() {
      const gone = once(child, "exit");
      child.disconnect();
      await gone;
    },
  };
}

export interface GoControlPlane {
  /** The Go program of peers. */
  readonly peers: string;
  readonly mode: "snapshot" | "linear";
  /** `unix:/absolute/path`. */
  readonly listen: string;
  /** Text of the configuration of the Gatehouse whose resources it is to serve. */
  readonly config: string;
}

/** go-control-plane with the resources that Gatehouse would serve. */
export async function startGoControlPlane({ peers, mode, listen, config }: GoControlPlane): Promise<XdsServer> {
  const child = spawn(peers, ["xds", "--listen", listen, "--mode", mode], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done === true) throw new Error("go-control-plane ended early");
    return line.value;
  };
  child.stdin.write(`${JSON.stringify(startOf(config))}\n`);
  await next();
  return {
    pid: child.pid ?? 0,
    async order(order) {
      child.stdin.write(`${JSON.stringify(order)}\n`);
      return JSON.parse(await next()) as XdsAnswer;
    },
    stop: async () => await ended(child),
  };
}

async function ended(child: ChildProcess): Promise<void> {
  const gone = once(child, "exit");
  child.stdin?.end();
  await gone;
}

const someDriver = {
  uid: "u",
  name: "n",
  key: { cluster: "local", namespace: "sjns-analytics-dev", app: "x" },
  owner: "",
  ownerUser: "",
  sharedWithGroups: [],
  profile: "plain",
  phase: "ready",
  address: { host: "127.0.0.9", port: 15002 },
  token: undefined,
  createdAt: 1,
  draining: undefined,
  failure: undefined,
} as const;

/** What never changes, and the resources of some driver. */
function startOf(text: string): object {
  const config = loadConfig({ file: text, env: {} });
  const { check, process, access_log: accessLog } = config.control;
  const settings = snapshotSettings(config, { check, process, accessLog });
  const certificate = readCertificate(certificateFiles(config));
  const { resources } = buildSnapshot({ generation: 1, drivers: [someDriver] }, settings, certificate);
  const base64 = (typeUrl: string, content: object) => Buffer.from(encodeResource(typeUrl, content)).toString("base64");
  const fixed: object[] = [];
  const driver: Record<string, string> = {};
  for (const [typeUrl, byName] of Object.entries(resources)) {
    for (const [name, content] of byName) {
      const bytes = base64(typeUrl, content);
      if (!name.startsWith("driver|")) fixed.push({ typeUrl, bytes });
      else driver[typeUrl === typeUrls.cluster ? "cluster" : "endpoints"] = bytes;
    }
  }
  return { fixed, ...driver, prefix: "driver|sjns-analytics-dev/" };
}
