import { existsSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { loadConfig } from "../../src/config/load.ts";
import { bootstrapOf } from "../../src/edges/envoy/encode-bootstrap.ts";
import { bootstrapSettings } from "../../src/wiring/envoy-settings.ts";
import { writePrivateFile } from "./files.ts";
import type { ConfigTree } from "./gatehouse-config.ts";
import type { IssuerOptions } from "./issuer-options.ts";
import { type Layout, repositoryRoot } from "./layout.ts";
import { portIsFree } from "./ports.ts";
import { type Child, startChild, type WaitOptions, waitFor } from "./processes.ts";

/** The environment that our processes get: nothing of the user's but what programs need to run at all. */
export function plainEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ"];
  const own = kept.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(own), ...more };
}

/** Arguments for Node that run one of our TypeScript files as it is. */
function typescript(file: string): readonly string[] {
  return ["--import", import.meta.resolve("tsx"), join(repositoryRoot, file)];
}

/** Starts the development issuer. Its options go through standard input, so it also ends when this process does. */
export async function startIssuerProcess(layout: Layout, options: IssuerOptions): Promise<Child> {
  return await startChild({
    name: "the issuer",
    command: process.execPath,
    args: typescript("deploy/local/issuer.ts"),
    cwd: repositoryRoot,
    env: plainEnvironment(),
    logFile: join(layout.logs, "issuer.log"),
    input: `${JSON.stringify(options)}\n`,
  });
}

/** For Node, as in the Dockerfile, which says why. */
export const steadySpeed = ["--max-semi-space-size=4", "--no-memory-reducer"];

/**
 * Writes the configuration and starts Gatehouse with it: the sources, or what `npm run build` made where
 * GATEHOUSE_BUILT is 1.
 * @param nodeArguments for Node itself, such as `--cpu-prof`
 */
export async function startGatehouseProcess(
  layout: Layout,
  config: ConfigTree,
  env: Readonly<Record<string, string>> = {},
  nodeArguments: readonly string[] = [],
): Promise<Child> {
  writePrivateFile(layout.configFile, stringify(config));
  const program =
    process.env["GATEHOUSE_BUILT"] === "1" ? [join(repositoryRoot, "dist/cli.js")] : typescript("src/cli.ts");
  if (!existsSync(program.at(-1) ?? "")) throw new Error("Gatehouse is not built: run npm run build");
  return await startChild({
    name: "Gatehouse",
    command: process.execPath,
    args: [...steadySpeed, ...nodeArguments, ...program, "serve", "--config", layout.configFile],
    cwd: repositoryRoot,
    env: plainEnvironment(env),
    logFile: join(layout.logs, "gatehouse.log"),
  });
}

export interface EnvoyParts {
  /** Path of the program. */
  readonly program: string;
  readonly adminPort: number;
  /** The configuration of the Gatehouse that it follows. */
  readonly config: ConfigTree;
  /** See `ChildOptions`. */
  readonly ownSession?: boolean;
}

/** Writes Envoy's bootstrap and starts Envoy with it. One worker thread: enough for one person. */
export async function startEnvoyProcess(layout: Layout, parts: EnvoyParts): Promise<Child> {
  const { program, adminPort, config, ownSession = true } = parts;
  const loaded = loadConfig({ file: stringify(config), env: {} });
  const settings = bootstrapSettings(loaded, { nodeId: `local-${adminPort}`, admin: `127.0.0.1:${adminPort}` });
  writePrivateFile(layout.bootstrapFile, `${JSON.stringify(bootstrapOf(settings), undefined, 2)}\n`);
  return await startChild({
    name: "Envoy",
    command: program,
    args: ["-c", layout.bootstrapFile, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"],
    cwd: layout.folder,
    env: plainEnvironment(),
    logFile: join(layout.logs, "envoy.log"),
    ownSession,
  });
}

/** Waits until the issuer serves its discovery document. */
export async function issuerReady(url: string, options: WaitOptions): Promise<void> {
  await waitFor("the issuer's discovery document", () => answers(`${url}/.well-known/openid-configuration`), options);
}

/** Waits until Gatehouse says that it knows all drivers and serves Envoy. */
export async function gatehouseReady(httpUrl: string, options: WaitOptions): Promise<void> {
  await waitFor("Gatehouse's /readyz", () => answers(`${httpUrl}/readyz`), options);
}

/** Waits until Envoy is live and its client listener accepts connections. */
export async function envoyReady(ports: { admin: number; envoy: number }, options: WaitOptions): Promise<void> {
  await waitFor("Envoy's readiness", () => answers(`http://127.0.0.1:${ports.admin}/ready`), options);
  await waitFor("Envoy's client listener", async () => !(await portIsFree(ports.envoy)), options);
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
