import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startChild } from "../../deploy/local/processes.ts";
import { until } from "./until.ts";

export interface EnvoyOptions {
  /** Path of the program. */
  readonly envoy: string;
  /** What `bootstrapOf` makes; its admin address should have port 0. */
  readonly bootstrap: object;
  /** Where its files go; must exist. */
  readonly folder: string;
  /** Default "warning". */
  readonly logLevel?: string;
}

/** A running Envoy of ours. */
export interface RunningEnvoy {
  readonly pid: number;
  /** GET or POST on its admin interface; the answer's body. */
  admin(path: string, method?: "GET" | "POST"): Promise<string>;
  /** One of its statistics; 0 where it has none of that name. */
  stat(name: string): Promise<number>;
  /** The port of its listener for clients, once it listens. */
  clientPort(): Promise<number>;
  /** Resident memory, in MiB. */
  memory(): number;
  log(): string;
  kill9(): Promise<void>;
  stop(): Promise<void>;
}

const running = new Set<() => void>();
process.on("exit", () => {
  for (const kill of running) kill();
});

/** Starts Envoy and waits for its admin interface; its listeners may come later or never. */
export async function startEnvoy(options: EnvoyOptions): Promise<RunningEnvoy> {
  const file = (name: string) => join(options.folder, name);
  writeFileSync(file("bootstrap.json"), JSON.stringify(options.bootstrap));
  const child = await startChild({
    name: "Envoy",
    command: options.envoy,
    args: `-c ${file("bootstrap.json")} --admin-address-path ${file("admin.address")} --disable-hot-restart
      --concurrency 1 --log-level ${options.logLevel ?? "warning"}`.split(/\s+/),
    cwd: options.folder,
    env: { PATH: process.env["PATH"] },
    logFile: file("envoy.log"),
  });
  const kill = () => child.signal("SIGKILL");
  running.add(kill);
  void child.exited.then(() => running.delete(kill));
  const log = () => readFileSync(file("envoy.log"), "utf8");
  const admin = async (path: string, method = "GET") => {
    const response = await fetch(`http://${readFileSync(file("admin.address"), "utf8").trim()}${path}`, { method });
    return await response.text();
  };
  await until(
    async () => {
      const exit = child.exit();
      if (exit !== undefined) throw new Error(`Envoy ended (${JSON.stringify(exit)}):\n${log()}`);
      return await admin("/server_info").then(Boolean, () => false);
    },
    { what: "Envoy's admin interface", deadlineMs: 30_000 },
  );
  return {
    pid: child.pid,
    admin,
    log,
    stat: async (name) => await statistic(admin, name),
    clientPort: async () => await listenerPort(admin),
    memory: () => residentMemory(child.pid),
    async kill9() {
      child.signal("SIGKILL");
      await child.exited;
    },
    async stop() {
      await child.stop(5000);
    },
  };
}

async function statistic(admin: (path: string) => Promise<string>, name: string): Promise<number> {
  const lines = (await admin(`/stats?filter=${encodeURIComponent(`^${name.replaceAll(".", "\\.")}$`)}`)).split("\n");
  return Number(lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? 0);
}

async function listenerPort(admin: (path: string) => Promise<string>): Promise<number> {
  let port: number | undefined;
  await until(
    async () => {
      const line = (await admin("/listeners")).split("\n").find((one) => one.startsWith("gatehouse::"));
      port = line === undefined ? undefined : Number(line.slice(line.lastIndexOf(":") + 1));
      return port !== undefined && port > 0;
    },
    { what: "Envoy's listener for clients", deadlineMs: 30_000 },
  );
  return port ?? 0;
}

function residentMemory(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return Math.round(Number(kilobytes) / 1024);
}
