import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { processStart } from "./process-identity.ts";

export interface ChildOptions {
  /** What people call it: "Envoy". */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** The whole environment; nothing is inherited. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Both output streams are appended here. */
  readonly logFile: string;
  /** Written to standard input, which then stays open until this process ends. Without it there is no standard input. */
  readonly input?: string;
  /** Default true. In ours, a Ctrl-C at the terminal reaches it too. */
  readonly ownSession?: boolean;
}

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process of ours, as a rule in a session of its own: a Ctrl-C at the terminal reaches only us, and we end it in our order. */
export interface Child {
  readonly name: string;
  readonly pid: number;
  /** Tells this process from a later one with the same id; see `process-identity.ts`. */
  readonly startTime: string;
  readonly logFile: string;
  /** Resolves when it has ended, however it ended. */
  readonly exited: Promise<ChildExit>;
  /** How it ended, once it has. */
  exit(): ChildExit | undefined;
  /** The newest lines of its output, newest last. */
  tail(lines: number): Promise<readonly string[]>;
  /** Does nothing when it has ended. */
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL when it is still there after `graceMs`. Resolves when it has ended. */
  stop(graceMs: number): Promise<ChildExit>;
}

/** @throws Error when the program cannot be started at all */
export async function startChild(options: ChildOptions): Promise<Child> {
  const log = openSync(options.logFile, "a", 0o600);
  let child: ChildProcess;
  try {
    child = spawn(options.command, options.args, {
      cwd: options.cwd,
      env: options.env,
      detached: options.ownSession ?? true,
      stdio: [options.input === undefined ? "ignore" : "pipe", log, log],
    });
  } finally {
    closeSync(log);
  }
  const exited = new Promise<ChildExit>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) => reject(new Error(`cannot start ${options.name}: ${cause.message}`, { cause })));
  });
  // A child that dies before it has read its input is noticed by its exit.
  child.stdin?.on("error", () => undefined);
  if (options.input !== undefined) child.stdin?.write(options.input);
  const pid = child.pid ?? 0;
  const exit = () =>
    child.exitCode === null && child.signalCode === null
      ? undefined
      : { code: child.exitCode, signal: child.signalCode };
  return {
    name: options.name,
    pid,
    startTime: processStart(pid) ?? "",
    logFile: options.logFile,
    exited,
    exit,
    tail: (lines) => lastLines(options.logFile, lines),
    signal: (signal) => void child.kill(signal),
    async stop(graceMs) {
      child.kill("SIGTERM");
      const patience = new AbortController();
      const forced = delay(graceMs, undefined, { signal: patience.signal }).then(
        () => child.kill("SIGKILL"),
        () => undefined,
      );
      const result = await exited;
      patience.abort();
      await forced;
      return result;
    },
  };
}

export interface WaitOptions {
  readonly deadlineMs: number;
  /** The wait ends at once when one of these ends. */
  readonly children: readonly Child[];
  readonly signal?: AbortSignal;
  readonly intervalMs?: number;
}

/**
 * Asks `condition` until it gives a value (anything but undefined and false).
 * @throws Error naming `what`, with the last log lines of a child that ended, or of all children at the deadline
 */
export async function waitFor<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  options: WaitOptions,
): Promise<T> {
  const end = Date.now() + options.deadlineMs;
  for (;;) {
    options.signal?.throwIfAborted();
    for (const child of options.children) {
      const exit = child.exit();
      if (exit !== undefined) throw new Error(await endedWhile(child, exit, what));
    }
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() >= end) {
      const logs = await Promise.all(options.children.map((child) => withLog(child.name, child)));
      throw new Error(`${what}: not within ${options.deadlineMs / 1000} s${logs.join("")}`);
    }
    const pause = delay(options.intervalMs ?? 50);
    await Promise.race([pause, ...options.children.map((child) => child.exited)]);
  }
}

async function endedWhile(child: Child, exit: ChildExit, what: string): Promise<string> {
  const how = exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`;
  return `${child.name} ended (${how}) while waiting for ${what}${await withLog("its log", child)}`;
}

async function withLog(title: string, child: Child): Promise<string> {
  const lines = await child.tail(12);
  return `\n  ${title} (${child.logFile}):${lines.map((line) => `\n    ${line.slice(0, 400)}`).join("")}`;
}

async function lastLines(file: string, lines: number): Promise<readonly string[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-lines);
}
