/**
 * `npm run quickstart`: the whole of Gatehouse on this machine. Prints what it does while it does it, shows a query as
 * alice and a refusal as bob, then stays up until it is told to end; with `--once` it ends by itself. Exit codes: 0 when
 * all went well (also when it was ended while it was up), 1 with one clear line when not, 130 when it was ended before it
 * was up.
 */
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { classArchiveArguments } from "./class-archive.ts";
import { repositoryRoot } from "./layout.ts";
import { whileRunning } from "./programs.ts";
import { progressTo } from "./progress.ts";
import { type Demo, demonstrate, type PreparedQuery, prepareQuery, snippet } from "./quickstart-demo.ts";
import { type RunningQuickstart, withQuickstart } from "./quickstart-run.ts";
import { ensureTools, type Tools } from "./tools.ts";

const say = (text: string): void => void process.stdout.write(text);
const progress = progressTo(say);

async function main(): Promise<number> {
  const ended = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => ended.abort());
  let alice: PreparedQuery | undefined;
  let up = false;
  try {
    const { once: onlyOnce, port, folder } = readOptions();
    const { tools, javaArguments } = await Promise.race([prepare(), rejectedBy(ended.signal)]);
    // Its libraries load while the rest starts.
    const hers = prepareQuery(tools.python);
    alice = hers;
    await withQuickstart({ folder, port, tools, javaArguments, progress, signal: ended.signal }, async (running) => {
      const demo: Demo = { ...running.facts, caFile: running.facts.ca_file };
      await whileRunning(running.children, (signal) => demonstrate(demo, hers, progress, signal), ended.signal);
      ended.signal.throwIfAborted();
      up = true;
      say(howToConnect(demo, running, onlyOnce));
      if (!onlyOnce) await stayUp(running, ended.signal);
    });
    progress("Ended");
    return 0;
  } catch (error) {
    if (ended.signal.aborted) {
      progress("Ended");
      return up ? 0 : 130;
    }
    process.stderr.write(`quickstart failed: ${messageOf(error)}\n`);
    return 1;
  } finally {
    alice?.end();
  }
}

async function prepare(): Promise<{ tools: Tools; javaArguments: readonly string[] }> {
  const tools = await ensureTools([], progress);
  return { tools, javaArguments: await classArchiveArguments(tools, progress) };
}

/** An installation that is given up half-way is cleared away by the next one. */
async function rejectedBy(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, "abort");
  throw signal.reason;
}

function readOptions(): { once: boolean; port: number; folder: string } {
  const { values } = parseArgs({ options: { once: { type: "boolean", default: false } } });
  const text = process.env["GATEHOUSE_QUICKSTART_PORT"] ?? "15003";
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1024 || port > 65_535) {
    throw new Error(`GATEHOUSE_QUICKSTART_PORT is "${text}": it must be a port from 1024 to 65535`);
  }
  return {
    once: values.once,
    port,
    folder: process.env["GATEHOUSE_QUICKSTART_FOLDER"] ?? join(repositoryRoot, ".gatehouse"),
  };
}

function howToConnect(demo: Demo, running: RunningQuickstart, onlyOnce: boolean): string {
  const { facts } = running;
  if (onlyOnce) return `\nTo connect while the quick start is up:\n\n${snippet(demo, "<a token>")}\n`;
  return [
    "\nGatehouse is up. To connect as alice, paste this into another terminal:\n\n",
    snippet(demo, facts.tokens.alice),
    "\nTokens of bob and carol (an administrator), and where everything is: .gatehouse/quickstart.json\n",
    "Press Ctrl-C to end everything.\n\n",
  ].join("");
}

/** Until the signal, or until one of the processes ends: then it throws. */
async function stayUp(running: RunningQuickstart, signal: AbortSignal): Promise<void> {
  await whileRunning(
    running.children,
    async (over) => {
      // A pending promise alone does not keep the process alive.
      const awake = setInterval(() => undefined, 60_000);
      if (!over.aborted) await once(over, "abort");
      clearInterval(awake);
    },
    signal,
  );
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ((error as NodeJS.ErrnoException).code === "ENOSPC") return "no space left on the disk";
  return error.message;
}

process.exitCode = await main();
process.exit();
