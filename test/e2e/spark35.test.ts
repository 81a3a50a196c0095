import { afterAll, beforeAll, expect, test } from "vitest";
import { knockClient } from "../support/knock.ts";
import { aCall } from "../support/refusal-world.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

// That a 3.5 driver serves where its profile allows it is shown in main-path-35.test.ts.
beforeAll(async () => {
  stack = await startStack({ tools: ["spark35"], config: { on_demand: { spark_version: "3.5.7" } } });
});

afterAll(async () => {
  await stack?.stop();
});

test("without allow_tokenless no 3.5 driver is started, and the caller and the audit are told why", async () => {
  const client = knockClient(stack.ports.envoy, stack.caFile);
  const headers = {
    authorization: `Bearer ${await stack.token("alice")}`,
    "x-spark-session-id": "sjns-analytics-dev.old",
  };
  const answer = await client.knock({ headers, body: aCall });
  client.close();
  const message = 'Spark 3.5.7 cannot ask for a token, and profile "default" does not allow drivers without one';
  expect(answer).toMatchObject({ code: 9, denial: { reason: "DRIVER_TOKENLESS", message, retryAfterMs: undefined } });
  expect(await stack.audit()).toMatchObject([
    { kind: "driver", action: "start", session: "sjns-analytics-dev/old" },
    { kind: "driver", action: "failed", reason: "DRIVER_TOKENLESS", message },
    { kind: "decision", verdict: "deny", reason: "DRIVER_TOKENLESS", message, decision_id: answer.decisionId },
  ]);
  expect(stack.drivers()).toEqual([]);

  const run = await stack.pyspark("refused.py", {
    user: "alice",
    token: "none",
    python: stack.tools.spark35!.python,
    env: {
      GATEHOUSE_URLS: JSON.stringify({ old: await stack.url({ user: "alice", session: "sjns-analytics-dev.old" }) }),
    },
  });
  const { text } = (await run.done).result("old") as { text: string };
  expect(text).toContain(message);
  expect(text).not.toContain("\n");
});
