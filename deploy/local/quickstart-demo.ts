import { join } from "node:path";
import { repositoryRoot } from "./layout.ts";
import { plainEnvironment } from "./parts.ts";
import { runProgram } from "./programs.ts";
import type { Progress } from "./progress.ts";

/** The session that the quick start opens: in the namespace of alice's team. */
export const quickstartSession = "sjns-analytics-dev.quickstart";

export interface Demo {
  readonly python: string;
  /** `sc://localhost:<port>/;use_ssl=true` */
  readonly url: string;
  readonly caFile: string;
  readonly tokens: { readonly alice: string; readonly bob: string };
}

/** A stock client that has loaded its libraries (or is at it) and does not know yet where to connect. */
export interface PreparedQuery {
  /** Connects and runs the query. `said` is one line: the result, or why not. */
  run(demo: Demo, token: string): Promise<{ readonly code: number | null; readonly said: string }>;
  /** Ends it at once, where it still runs. */
  end(): void;
}

/** Starts a client. */
export function prepareQuery(python: string): PreparedQuery {
  const over = new AbortController();
  let connect: (line: string) => void = () => undefined;
  const input = new Promise<string>((resolve) => {
    connect = resolve;
  });
  const done = runProgram(python, [join(repositoryRoot, "deploy/local/quickstart_query.py")], {
    cwd: repositoryRoot,
    env: plainEnvironment(),
    timeoutMs: 240_000,
    signal: over.signal,
    input,
  });
  // Whoever runs the query hears of a fault then.
  done.catch(() => undefined);
  return {
    end: () => over.abort(),
    async run(demo, token) {
      const url = `${demo.url};token=${token};x-spark-session-id=${quickstartSession}`;
      connect(`${JSON.stringify({ url, ca_file: demo.caFile })}\n`);
      const { code, stdout, stderr } = await done;
      const said = stdout.trim() || (stderr.trim().split("\n").at(-1) ?? "");
      return { code, said: said.slice(0, 1000) };
    },
  };
}

/**
 * A real query as alice, then the same as bob, who must be refused.
 * @param alice a client for her query
 * @throws Error, one line, where either does not come out so
 */
export async function demonstrate(
  demo: Demo,
  alice: PreparedQuery,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  progress(`alice asks for session ${quickstartSession}; her driver is started for her and her query waits for it`);
  const asked = alice.run(demo, demo.tokens.alice);
  const bob = prepareQuery(demo.python);
  signal.addEventListener("abort", () => {
    alice.end();
    bob.end();
  });
  const hers = await asked;
  signal.throwIfAborted();
  if (hers.code !== 0) {
    bob.end();
    throw new Error(`alice's query failed: ${hers.said}`);
  }
  progress(`alice: ${hers.said}`);
  const his = await bob.run(demo, demo.tokens.bob);
  signal.throwIfAborted();
  if (his.code === 0) throw new Error("bob was let into alice's session");
  if (!/PERMISSION_DENIED|SESSION_FORBIDDEN/.test(his.said)) {
    throw new Error(`bob was to be refused on alice's session, but: ${his.said}`);
  }
  progress(`bob, on alice's session, is refused: ${his.said}`);
}

/** What to paste into another terminal. Proxies of the environment are switched off for localhost: gRPC heeds them. */
export function snippet(demo: Demo, token: string, env: NodeJS.ProcessEnv = process.env): string {
  const proxied = ["grpc_proxy", "https_proxy", "http_proxy"].some((name) => (env[name] ?? "") !== "");
  return [
    ...(proxied ? ["export no_grpc_proxy=localhost"] : []),
    `export GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=${shellQuote(demo.caFile)}`,
    `export SPARK_REMOTE='${demo.url};token=${token};x-spark-session-id=${quickstartSession}'`,
    `${shellQuote(demo.python)} -i -c '${program}'`,
  ]
    .map((line) => `${line}\n`)
    .join("");
}

const program =
  "from pyspark.sql import SparkSession; spark = SparkSession.builder.getOrCreate(); spark.range(10).show()";

function shellQuote(text: string): string {
  return /^[-\w./]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
