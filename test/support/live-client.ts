import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { plainEnvironment } from "../../deploy/local/parts.ts";
import type { ClientOptions, Stack } from "./stack.ts";

/** What came of a request. */
export interface LiveAnswer {
  readonly result?: unknown;
  readonly error?: string;
  /** From the request to the answer. */
  readonly seconds: number;
}

export interface LiveRequest {
  /** Resolves when it is well under way; rejects where it ends before that. */
  readonly begun: Promise<void>;
  /** Never rejects for what the request came to. */
  readonly done: Promise<LiveAnswer>;
  /** Whether it has not been answered yet. */
  pending(): boolean;
}

/** A stock PySpark client that stays up while things around it break; see `py/live.py` for what it can do. */
export interface LiveClient {
  ask(what: string, parameters?: Readonly<Record<string, unknown>>): LiveRequest;
  /** The result of a request. @throws Error with the client's own words where it failed */
  result(what: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown>;
  end(): Promise<void>;
}

type Line = { readonly step: string; readonly result?: unknown; readonly error?: string };

export async function liveClient(stack: Stack, options: ClientOptions): Promise<LiveClient> {
  const child = spawn(stack.tools.python, [join(import.meta.dirname, "py/live.py")], {
    env: plainEnvironment({
      PYTHONDONTWRITEBYTECODE: "1",
      GATEHOUSE_URL: await stack.url(options),
      GATEHOUSE_FOLDER: stack.folder,
      GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: stack.caFile,
      ...options.env,
    }),
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stderr: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr.push(text));
  child.stdin.on("error", () => undefined);
  const told = new Map<string, (line: Line) => void>();
  createInterface({ input: child.stdout }).on("line", (text) => {
    const line = JSON.parse(text) as Line;
    told.get(line.step)?.(line);
  });
  const gone = new Promise<void>((resolve) => {
    child.once("close", () => {
      for (const [step, tell] of told) tell({ step, error: `the client is gone: ${stderr.join("").slice(-2000)}` });
      resolve();
    });
  });
  const said = (step: string): Promise<Line> => new Promise((resolve) => told.set(step, resolve));
  let requests = 0;
  const client: LiveClient = {
    ask(what, parameters = {}) {
      const id = String((requests += 1));
      const since = performance.now();
      let pending = true;
      const done = said(id).then(({ result, error }): LiveAnswer => {
        pending = false;
        const seconds = (performance.now() - since) / 1000;
        return { seconds, result, ...(error === undefined ? {} : { error }) };
      });
      const begun = Promise.race([said(`${id} begun`), done]).then((how) => {
        if ("seconds" in how) throw new Error(`${what} ended before it had begun: ${how.error ?? "no error"}`);
      });
      begun.catch(() => undefined);
      child.stdin.write(`${JSON.stringify({ id, do: what, with: parameters })}\n`);
      return { begun, done, pending: () => pending };
    },
    async result(what, parameters) {
      const { result, error } = await client.ask(what, parameters).done;
      if (error !== undefined) throw new Error(`${what}: ${error}`);
      return result;
    },
    async end() {
      child.stdin.end();
      await gone;
    },
  };
  return client;
}
