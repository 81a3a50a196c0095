import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { portIsFree } from "../../deploy/local/ports.ts";
import { processStart } from "../../deploy/local/process-identity.ts";
import type { OperationRecord } from "../../src/decisions/audit.ts";
import type { PysparkResult } from "../support/pyspark.ts";
import { type ClientOptions, type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({
    config: {
      profiles: {
        default: {
          // Streams are cut after a second, so that every longer answer needs a reattach.
          spark_conf: { "spark.connect.execute.reattachable.senderMaxStreamDuration": "1s" },
        },
      },
    },
  });
});

afterAll(async () => {
  if (stack === undefined) return;
  const parts = [stack.envoy, stack.gatehouse, stack.issuer].map(({ pid }) => pid);
  const pids = [...parts, ...stack.drivers().flatMap(({ pid }) => (pid === undefined ? [] : [pid]))];
  await stack.stop();
  expect(pids.filter((pid) => processStart(pid) !== undefined)).toEqual([]);
  const free = await Promise.all(Object.values(stack.ports).map(async (port) => await portIsFree(port)));
  expect(free).toEqual([true, true, true, true]);
  expect(existsSync(stack.folder)).toBe(false);
});

const alice: ClientOptions = {
  user: "alice",
  session: "sjns-analytics-dev.main",
  parameters: { user_id: "mallory" },
};

async function steps(client: ClientOptions, ...names: readonly string[]): Promise<PysparkResult> {
  const run = await stack.pyspark("steps.py", { ...client, args: names });
  return await run.done;
}

const isOperation = (record: { readonly kind: string }): record is OperationRecord => record.kind === "operation";

describe("PySpark 4.1 through Envoy with inspection on", () => {
  const names = [
    "where",
    "dataframe",
    "sql",
    "python_udf",
    "local_relation",
    "to_pandas",
    "artifact",
    "streaming",
    "interrupt",
    "long_query",
    "clone",
    "failing_query",
  ] as const;
  let done: PysparkResult;
  let where: { driver: string; address: string; session: string };

  beforeAll(async () => {
    done = await steps({ ...alice, env: { GATEHOUSE_LONG_QUERY_SECONDS: "4" } }, ...names);
    where = done.result("where") as typeof where;
  });

  test("DataFrame: join, aggregation", () => {
    const totals = Object.fromEntries(Array.from({ length: 10 }, (_, key) => [`k${key}`, 100 + 5 * key]));
    expect(done.result("dataframe")).toEqual(totals);
  });

  test("SQL", () => {
    expect(done.result("sql")).toEqual([0, 1, 4, 9, 16]);
  });

  test("a Python UDF", () => {
    expect(done.result("python_udf")).toEqual(["cba", "zyx"]);
  });

  test("createDataFrame of 200,000 rows", () => {
    expect(done.result("local_relation")).toEqual([200_000, 19_999_900_000, 17]);
  });

  test("toPandas of 2 million rows", () => {
    expect(done.result("to_pandas")).toEqual([2_000_000, 1_999_999_000_000, 999_999.5]);
  });

  test("an artifact is uploaded and used", () => {
    expect(done.result("artifact")).toBe("from the artifact");
  });

  test("a streaming query starts, delivers and stops", () => {
    expect(done.result("streaming")).toEqual({ before: true, after: false, left: 0 });
  });

  test("an interrupt reaches the running operation", () => {
    expect(done.result("interrupt")).toEqual({
      alive: false,
      interrupted: 1,
      error: expect.stringContaining("OPERATION_CANCELED"),
    });
  });

  test("a query that outlives its stream is reattached and complete", async () => {
    expect(done.result("long_query")).toEqual([32, 496]);
    const reattached = (await stack.audit()).filter(({ kind }) => kind === "decision");
    expect(
      reattached.filter((record) => "method" in record && record.method === "ReattachExecute").length,
    ).toBeGreaterThan(1);
  });

  test("a cloned session inherits and does not leak back", () => {
    expect(done.result("clone")).toEqual({ other: true, inherited: 3, zone: "UTC", leaked: false });
  });

  test("Spark's own errors keep their class and SQL state", () => {
    expect(done.result("failing_query")).toEqual({ class: "UNRESOLVED_COLUMN.WITH_SUGGESTION", state: "42703" });
  });

  test("the driver saw the verified user and never the claimed one", async () => {
    const log = await stack.driverLog("sjns-analytics-dev/main");
    expect(log).toContain(`userId: alice@local and sessionId: ${where.session}`);
    expect(log).not.toContain("mallory");
  });

  test("the audit joins each operation with its decision and keeps the claimed user", async () => {
    const records = await stack.audit();
    const decisions = new Map(
      records.flatMap((record) => (record.kind === "decision" ? [[record.decision_id, record] as const] : [])),
    );
    const operations = records.filter(isOperation).filter((record) => record.session === "sjns-analytics-dev/main");
    expect(operations.length).toBeGreaterThan(50);
    for (const operation of operations) {
      expect(decisions.get(operation.decision_id)).toMatchObject({ verdict: "allow", subject: "alice", user: "alice" });
      expect(operation).toMatchObject({ user_id: "alice@local", claimed_user_id: "mallory" });
    }
    const methods = new Set(operations.map(({ method }) => method));
    const seen = ["ExecutePlan", "AnalyzePlan", "Config", "AddArtifacts", "ReattachExecute", "ReleaseExecute"];
    expect([...methods]).toEqual(expect.arrayContaining([...seen, "Interrupt", "CloneSession", "ReleaseSession"]));
    expect(new Set(operations.map(({ driver_uid }) => driver_uid)).size).toBe(1);
  });

  test("no token is in any log or in the audit", async () => {
    const token = await stack.token("alice");
    const [header] = token.split(".");
    const texts = [await stack.gatehouse.log(), await stack.envoy.log(), JSON.stringify(await stack.audit())];
    for (const text of texts) expect(text).not.toContain(header);
  });
});

describe("two users, two sessions, two drivers", () => {
  const bob: ClientOptions = { user: "bob", session: "sjns-platform-dev.main" };

  test("each has a driver of their own; a temp view of one is invisible to the other", async () => {
    const keep = { GATEHOUSE_KEEP_SESSION: "1" };
    const [one, two] = await Promise.all([
      steps({ ...alice, env: keep }, "where", "make_view", "see_view"),
      steps({ ...bob, env: keep }, "where", "dataframe", "see_view"),
    ]);
    const whereOne = one.result("where") as { driver: string; address: string };
    const whereTwo = two.result("where") as { driver: string; address: string };
    expect(whereOne.address).not.toBe(whereTwo.address);
    expect(whereOne.driver).not.toBe(whereTwo.driver);
    expect([one.result("make_view"), one.result("see_view")]).toEqual([7, true]);
    expect(two.result("see_view")).toBe(false);
  });

  test("five queries of one client run on one driver, in one Connect session", async () => {
    const done = await steps(alice, "five_queries", "where");
    const answers = done.result("five_queries") as readonly [number, string, string][];
    const { driver, session } = done.result("where") as { driver: string; session: string };
    expect(answers.map(([total]) => total)).toEqual([0, 4950, 19_900, 44_850, 79_800]);
    expect(answers.map(([, ...place]) => place)).toEqual(answers.map(() => [driver, session]));
    const used = (await stack.audit()).filter(isOperation).filter((record) => record.connect_session === session);
    expect(new Set(used.map(({ driver_uid }) => driver_uid)).size).toBe(1);
  });

  test("bob on alice's session is refused in one readable line, and her driver hears nothing of it", async () => {
    const before = await stack.driverLog("sjns-analytics-dev/main");
    const done = await steps({ ...bob, session: alice.session! }, "sql");
    const said = done.error("connect") ?? done.error("sql");
    expect(done.code).toBe(3);
    expect(said).toMatch(/SESSION_FORBIDDEN|PERMISSION_DENIED/);
    expect(said).not.toContain("\n");
    const denials = (await stack.audit()).filter((record) => record.kind === "decision" && record.verdict === "deny");
    expect(denials.at(-1)).toMatchObject({ subject: "bob", reason: "SESSION_FORBIDDEN", message: expect.any(String) });
    const after = await stack.driverLog("sjns-analytics-dev/main");
    expect(after.slice(before.length)).not.toContain("userId");
  });
});
