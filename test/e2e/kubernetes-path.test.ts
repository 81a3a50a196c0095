import { afterAll, beforeAll, expect, test } from "vitest";
import { pods } from "../support/kube/access.ts";
import { type KubeWorld, startKubeWorld } from "../support/kube/world.ts";
import { liveClient } from "../support/live-client.ts";
import type { Stack } from "../support/stack.ts";

let world: KubeWorld;
let stack: Stack;

beforeAll(async () => {
  world = await startKubeWorld();
  stack = await world.replica();
});

afterAll(async () => await world?.stop());

test("PySpark → Envoy → Gatehouse → a pod with a real driver → rows", async () => {
  const client = await liveClient(stack, { user: "alice", session: "sjns-analytics-dev.main" });
  await client.result("connect");
  expect(await client.result("count")).toBe(10);
  await client.end();
  const found = await world.cluster.admin.list(pods, "sjns-analytics-dev");
  expect(found).toHaveLength(1);
});
