import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { plainEnvironment } from "../../../deploy/local/parts.ts";
import { type Stack, startStack } from "../../support/stack.ts";
import { until } from "../../support/until.ts";
import type { Figure, Sample, Scenario, Target, Variant } from "../scenario.ts";

const names = { archive: "with the class archive", plain: "without it" } as const;

const firstRow = "to the first row";
const started = "of that, until the driver was ready";
const afterwards = "of that, the first query on the ready driver";

const figures: readonly Figure[] = [
  { name: firstRow, unit: "ms", digits: 0, better: "less", plot: true },
  { name: started, unit: "ms", digits: 0, better: "less" },
  { name: afterwards, unit: "ms", digits: 0, better: "less" },
  { name: "the same query again", unit: "ms", digits: 0, better: "less" },
  { name: "first grouping and sorting", unit: "ms", digits: 0, better: "less" },
  { name: "first join, to pandas", unit: "ms", digits: 0, better: "less" },
  { name: "first Python function", unit: "ms", digits: 0, better: "less" },
];

const targets: readonly Target[] = [
  {
    text: "to the first row with the class archive, of without",
    figure: firstRow,
    variant: names.archive,
    per: names.plain,
    atMost: 0.6,
  },
];

const about = `A stock PySpark client, its libraries loaded, connects through Envoy to a session that has no driver: Gatehouse starts one (Java, Spark
4.1, two cores, 1 GB) and holds the client's first call until it is ready; then it asks for one row. The class archive is what the
quick start uses by default: \`deploy/local/class-archive.ts\`.`;

/** Must-reach 7, second half: how long a local driver takes from nothing to the first row. */
export const coldStart: Scenario = {
  id: "cold-start",
  title: "A local driver's cold start",
  about,
  figures,
  targets,
  rounds: 3,
  async prepare({ tools }) {
    const plain = { spark_home: tools.sparkHome, python: tools.python };
    const stack = await startStack({
      config: {
        policy: { creation: [{ namespaces: ["plain"], profile: "plain" }, { namespaces: ["archive"] }] },
        profiles: { plain: { on_demand: { spark_version: "4.1.9" } } },
        runtime: { local: { installations: { "4.1.9": plain } } },
      },
    });
    return {
      variants: [variant(names.archive, stack, "archive"), variant(names.plain, stack, "plain")],
      close: async () => await stack.stop(),
    };
  },
};

let sessions = 0;

function variant(name: string, stack: Stack, namespace: string): Variant {
  return {
    name,
    async measure(): Promise<Sample> {
      sessions += 1;
      const session = `${namespace}.app-${sessions}`;
      const url = await stack.url({ user: "alice", session });
      const before = await startSeconds(stack);
      const took = await runClient(stack, url);
      const readyMs = ((await startSeconds(stack)) - before) * 1_000;
      await endDriver(stack, session.replace(".", "/"));
      return {
        [firstRow]: took.total,
        [started]: readyMs,
        [afterwards]: took.total - readyMs,
        "the same query again": took.second,
        "first grouping and sorting": took.sql,
        "first join, to pandas": took.pandas,
        "first Python function": took.udf,
      };
    },
  };
}

const startSeconds = async (stack: Stack): Promise<number> =>
  (await stack.metrics()).value("gatehouse_driver_start_seconds_sum", { outcome: "ready" });

type Took = Readonly<Record<"total" | "second" | "sql" | "pandas" | "udf", number>>;

/** @throws Error with the client's last line where it fails */
async function runClient({ tools, caFile }: Stack, url: string): Promise<Took> {
  const child = spawn(tools.python, [join(import.meta.dirname, "../cold_start_client.py")], {
    env: plainEnvironment({ GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: caFile }),
    stdio: ["pipe", "pipe", "pipe"],
    timeout: 120_000,
  });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const closed = once(child, "close");
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    if (line === "loaded") child.stdin.end(`${url}\n`);
  });
  child.stdin.on("error", () => undefined);
  await closed;
  if (child.exitCode !== 0) throw new Error(`the client failed: ${errors.trim().split("\n").at(-1) ?? ""}`);
  return JSON.parse(lines.at(-1) ?? "") as Took;
}

/** So that the next one has the machine to itself. */
async function endDriver(stack: Stack, session: string): Promise<void> {
  const driver = () => stack.drivers().find((each) => each.session === session);
  const pid = driver()?.pid;
  if (pid === undefined) throw new Error(`${session} has no driver to end`);
  process.kill(pid, "SIGTERM");
  await until(() => driver() === undefined, { deadlineMs: 30_000, what: `the end of the driver of ${session}` });
}
