import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { plainEnvironment } from "../../deploy/local/parts.ts";

/** One JSON line that a script printed; see `py/steps.py`. */
export interface StepLine {
  readonly step: string;
  readonly result?: unknown;
  readonly error?: string;
  readonly seconds?: number;
}

export interface PysparkResult {
  /** null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The lines of stdout that are JSON objects. */
  readonly lines: readonly StepLine[];
  /** What that step gave. @throws Error with its own words where it failed or did not run */
  result(step: string): unknown;
  /** How that step failed, or undefined. */
  error(step: string): string | undefined;
}

/** A client that runs. */
export interface PysparkRun {
  readonly pid: number;
  readonly done: Promise<PysparkResult>;
  /** The first JSON line of that step, as soon as it is printed. Rejects when the script ends without it. */
  line(step: string): Promise<StepLine>;
  signal(signal: NodeJS.Signals): void;
}

export interface PysparkOptions {
  readonly python: string;
  /** A file of `test/support/py`. */
  readonly script: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The client is killed after so long. Default 200 s. */
  readonly timeoutMs?: number;
}

/** Starts a stock PySpark client that knows nothing of this process's environment. */
export function startPyspark(options: PysparkOptions): PysparkRun {
  const file = join(import.meta.dirname, "py", options.script);
  const child = spawn(options.python, [file, ...options.args], {
    cwd: join(import.meta.dirname, "py"),
    env: plainEnvironment({ PYTHONDONTWRITEBYTECODE: "1", ...options.env }),
    stdio: ["ignore", "pipe", "pipe"],
    timeout: options.timeoutMs ?? 200_000,
    killSignal: "SIGKILL",
  });
  const lines: StepLine[] = [];
  const waiters = new Set<() => void>();
  const stdout: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    stdout.push(line);
    const parsed = parseLine(line);
    if (parsed !== undefined) lines.push(parsed);
    for (const wake of waiters) wake();
  });
  const stderr: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr.push(text));
  const done = closed(child).then((code) => result(code, stdout.join("\n"), stderr.join(""), lines));
  return {
    pid: child.pid ?? 0,
    done,
    signal: (signal) => void child.kill(signal),
    line: (step) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = lines.find((each) => each.step === step);
          if (found === undefined) return;
          waiters.delete(look);
          resolve(found);
        };
        waiters.add(look);
        look();
        void done.then((end) => reject(new Error(`the client ended (${end.code}) without "${step}":\n${tail(end)}`)));
      }),
  };
}

function closed(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
}

function parseLine(line: string): StepLine | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value = JSON.parse(line) as Partial<StepLine>;
    return typeof value.step === "string" ? (value as StepLine) : undefined;
  } catch {
    return undefined;
  }
}

function result(code: number | null, stdout: string, stderr: string, lines: readonly StepLine[]): PysparkResult {
  const find = (step: string) => lines.find((line) => line.step === step);
  const self: PysparkResult = {
    code,
    stdout,
    stderr,
    lines,
    error: (step) => find(step)?.error,
    result(step) {
      const line = find(step);
      if (line === undefined) throw new Error(`step ${step} did not run:\n${tail(self)}`);
      if (line.error !== undefined) throw new Error(`step ${step} failed: ${line.error}`);
      return line.result;
    },
  };
  return self;
}

function tail({ stdout, stderr }: Pick<PysparkResult, "stdout" | "stderr">): string {
  return `${stdout.slice(-2000)}\n${stderr.slice(-2000)}`;
}
