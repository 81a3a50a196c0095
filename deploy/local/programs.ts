import { execFile } from "node:child_process";
import type { Child } from "./processes.ts";

export interface ProgramResult {
  /** null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly cwd: string;
  /** The whole environment; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Written to standard input as soon as it is there; then standard input ends. */
  readonly input?: Promise<string>;
}

/**
 * Runs a program to its end and collects what it printed (at most 16 MiB). It is killed at the time limit and when the
 * signal aborts; both show as code null.
 * @throws Error where it cannot be started
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: ProgramOptions,
): Promise<ProgramResult> {
  const { cwd, env, timeoutMs, signal, input } = options;
  return await new Promise((resolve, reject) => {
    const limits = { timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: 16 * 1024 * 1024 } as const;
    const child = execFile(command, args, { cwd, env, ...limits }, (error, stdout, stderr) => {
      signal?.removeEventListener("abort", end);
      if (error !== null && typeof error.code === "string" && child.pid === undefined) reject(error);
      else resolve({ code: child.exitCode, stdout, stderr });
    });
    child.stdin?.on("error", () => undefined);
    void input?.then(
      (text) => child.stdin?.end(text),
      () => child.stdin?.end(),
    );
    const end = (): void => void child.kill("SIGKILL");
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted === true) end();
  });
}

/**
 * `work`, but given up as soon as one of the children ends.
 * @throws Error naming the child, with its last log lines
 */
export async function whileRunning<T>(
  children: readonly Child[],
  work: (signal: AbortSignal) => Promise<T>,
  outer?: AbortSignal,
): Promise<T> {
  const over = new AbortController();
  const giveUp = (): void => over.abort(outer?.reason);
  outer?.addEventListener("abort", giveUp, { once: true });
  if (outer?.aborted === true) giveUp();
  let ended: Child | undefined;
  let finished = false;
  for (const child of children) {
    void child.exited.then(() => {
      if (finished) return;
      ended ??= child;
      over.abort();
    });
  }
  try {
    const result = await work(over.signal);
    if (ended === undefined) return result;
  } catch (error) {
    if (ended === undefined) throw error;
  } finally {
    finished = true;
    outer?.removeEventListener("abort", giveUp);
  }
  const lines = await ended.tail(12);
  throw new Error(`${ended.name} ended; its log says:${lines.map((line) => `\n    ${line.slice(0, 400)}`).join("")}`);
}
