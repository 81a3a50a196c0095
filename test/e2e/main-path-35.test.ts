import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PysparkResult } from "../support/pyspark.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;
let done: PysparkResult;

beforeAll(async () => {
  stack = await startStack({
    tools: ["spark35"],
    config: {
      on_demand: { spark_version: "3.5.7" },
      profiles: { default: { allow_tokenless: true } },
    },
  });
  const run = await stack.pyspark("steps.py", {
    user: "alice",
    session: "sjns-analytics-dev.old",
    python: stack.tools.spark35!.python,
    parameters: { user_id: "mallory" },
    args: ["where", "dataframe", "sql", "python_udf", "to_pandas", "artifact", "streaming", "interrupt"],
  });
  done = await run.done;
});

afterAll(async () => {
  await stack?.stop();
});

describe("PySpark 3.5 with a 3.5 driver, tokenless by its profile", () => {
  test("the short version of the main path", () => {
    expect(done.result("dataframe")).toMatchObject({ k0: 100, k9: 145 });
    expect(done.result("sql")).toEqual([0, 1, 4, 9, 16]);
    expect(done.result("python_udf")).toEqual(["cba", "zyx"]);
    expect(done.result("to_pandas")).toEqual([2_000_000, 1_999_999_000_000, 999_999.5]);
    expect(done.result("artifact")).toBe("from the artifact");
    expect(done.result("streaming")).toEqual({ before: true, after: false, left: 0 });
    expect(done.result("interrupt")).toMatchObject({ alive: false, interrupted: 1 });
  });

  test("the driver saw the verified user and never the claimed one", async () => {
    const log = await stack.driverLog("sjns-analytics-dev/old");
    expect(log).toContain("alice@local");
    expect(log).not.toContain("mallory");
  });
});
