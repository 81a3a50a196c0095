import { spawn } from "node:child_process";

export interface CommandResult {
  /** 127 where the program could not be started at all. */
  readonly code: number;
  /** The last 256 KiB of both output streams together. */
  readonly output: string;
}

const maxOutput = 262_144;

/** Runs a program to its end and collects what it says; nothing of our environment is inherited. Never rejects. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: { readonly env: Readonly<Record<string, string>>; readonly cwd?: string; readonly timeoutMs?: number },
): Promise<CommandResult> {
  return await new Promise((resolve) => {
    let output = "";
    const add = (text: string) => {
      output = (output + text).slice(-maxOutput);
    };
    const child = spawn(command, args, {
      env: options.env,
      cwd: options.cwd,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: options.timeoutMs,
      killSignal: "SIGKILL",
    });
    child.stdout.setEncoding("utf8").on("data", add);
    child.stderr.setEncoding("utf8").on("data", add);
    child.once("error", (error) => resolve({ code: 127, output: error.message }));
    child.once("close", (code, signal) => {
      if (signal !== null) add(`\nended by ${signal}`);
      resolve({ code: code ?? 1, output });
    });
  });
}
