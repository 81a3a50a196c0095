import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { LoadPlan, LoadResult } from "./load.ts";

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

/** One run of that load. */
export async function load(plan: LoadPlan): Promise<LoadResult> {
  const child = program("load-process.ts");
  child.send(plan);
  try {
    return await message<LoadResult>(child);
  } finally {
    child.kill();
  }
}
