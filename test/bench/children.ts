import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Runs one of this folder's programs in a process of its own that ends with this one. */
export function program(name: string, args: readonly string[] = []): ChildProcess {
  const file = fileURLToPath(new URL(name, import.meta.url));
  return fork(file, args, {
    execArgv: ["--import", import.meta.resolve("tsx")],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

/** The next message of that child. @throws Error when it ends without one */
export async function message<T>(child: ChildProcess): Promise<T> {
  const gone = new AbortController();
  const ended = once(child, "exit", { signal: gone.signal }).then(() => {
    throw new Error("a process of the bench ended early");
  });
  try {
    const [value] = (await Promise.race([once(child, "message"), ended])) as [T];
    return value;
  } finally {
    gone.abort();
    await ended.catch(() => undefined);
  }
}

/** A running subcommand of the Go program of peers. */
export interface Peer {
  readonly pid: number;
  /** SIGTERM; resolves when it is gone. */
  stop(): Promise<void>;
}

/**
 * Starts a subcommand of the Go program of peers, in a session of its own, and resolves when it has printed `listening`. It
 * ends with this process, because its standard input does.
 * @throws Error when it ends first
 */
export async function startPeer(peers: string, args: readonly string[]): Promise<Peer> {
  const child = spawn(peers, args, { detached: true, stdio: ["pipe", "pipe", "inherit"] });
  const exited = exitOf(child);
  const lines = createInterface({ input: child.stdout });
  await Promise.race([once(lines, "line"), exited.then((how) => Promise.reject(endedEarly(args, how)))]);
  return {
    pid: child.pid ?? 0,
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/**
 * Runs a subcommand to its end with that on its standard input, which stays open, and answers what it printed.
 * @throws Error when it fails
 */
export async function runPeer(peers: string, args: readonly string[], input: string): Promise<string> {
  const child = spawn(peers, args, { stdio: ["pipe", "pipe", "inherit"] });
  const exited = exitOf(child);
  const closed = once(child.stdout, "close");
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stdin.on("error", () => undefined);
  child.stdin.write(input);
  const how = await exited;
  await closed;
  if (how !== 0) throw endedEarly(args, how);
  return output;
}

function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "no exit code"));
  });
}

const endedEarly = ([name = ""]: readonly string[], how: number | string): Error =>
  new Error(`a process of the bench ended early: ${name} (${how})`);

/** Linux counts in hundredths of a second, whatever the kernel's own clock. */
const microsPerTick = 10_000;

/** Processor time that all threads of that process have used so far, in µs. @throws NodeJS.ErrnoException where it is gone */
export function processorMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * microsPerTick;
}
