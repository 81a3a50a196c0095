import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mergeConfig } from "../../deploy/local/gatehouse-config.ts";
import { secrets } from "../../src/edges/kubernetes/kinds.ts";
import { pods } from "../support/kube/access.ts";
import { allRecords, calls, driverOf, print, runningDriver, tally, textIn } from "../support/kube/replica-calls.ts";
import { leaderAndFollower, quickLease } from "../support/kube/replica-pair.ts";
import { type KubeWorld, startKubeWorld } from "../support/kube/world.ts";
import { startClient } from "../support/lifetime-clients.ts";
import { idleMs, idleProfile, livesOf, quickLives } from "../support/lifetimes.ts";
import { liveClient } from "../support/live-client.ts";
import type { PysparkRun } from "../support/pyspark.ts";
import type { Stack, StackDriver } from "../support/stack.ts";
import { until } from "../support/until.ts";

// Two replicas, each with an Envoy, on one API server. Two drivers in the namespace "brief" live beside the first tests.

const long = { deadlineMs: 120_000 };
const graceMs = 8_000;
const shared = "kept/shared";

let world: KubeWorld;
let leader: Stack;
let follower: Stack;

beforeAll(async () => {
  world = await startKubeWorld({ driverNamespaces: ["brief", "kept"] });
  const config = mergeConfig(quickLives(graceMs, { brief: idleProfile, kept: {} }), quickLease);
  const both = [await world.replica({ config }), await world.replica({ config })] as const;
  [leader, follower] = await leaderAndFollower(both);
});

afterAll(async () => await world?.stop());

/** Of the shared session: one pod and one Secret, which is the pod's. */
async function onlyPod(): Promise<{ readonly uid: string }> {
  const { admin } = world.cluster;
  const ownerOf = async () =>
    (await admin.list(secrets, "kept")).map((each) => each.metadata.ownerReferences?.[0]?.uid);
  await until(async () => (await ownerOf()).length < 2, { ...long, what: "a predecessor's Secret is collected" });
  const found = await admin.list(pods, "kept");
  expect(found.map(({ metadata }) => metadata.name)).toEqual([driverOf(shared)]);
  const uid = found[0]?.metadata.uid ?? "";
  expect(await ownerOf()).toEqual([uid]);
  return { uid };
}

/** Resolves once the client's query runs, in a driver that only the follower was asked for. */
async function queryRuns(run: PysparkRun, file: string): Promise<void> {
  await Promise.race([
    until(() => textIn(`${file}.running`) !== "", { ...long, what: "the query runs" }),
    run.done.then(({ stdout, stderr }) => {
      throw new Error(`the client ended: ${stdout}${stderr.slice(-2000)}`);
    }),
  ]);
}

/** What became of the driver, as both replicas' audits have it: one drain and one stop, and its end once. */
async function endedOnce(driver: StackDriver): Promise<void> {
  const told = async () => (await allRecords(world.stacks)).filter(({ driver_uid }) => driver_uid === driver.uid);
  await until(async () => (await told()).some(({ action }) => action === "ended"), { ...long, what: "it ends" });
  expect((await told()).map(({ action, reason }) => [action, reason])).toEqual([
    ["drain", "idle"],
    ["stop", "idle"],
    ["ended", "stopped"],
  ]);
  await world.cluster.admin.gone(pods, "brief", driverOf(driver.session));
}

describe.concurrent("two replicas", () => {
  test("many callers of both start one driver, which both serve; when it dies, clients of both are told", async () => {
    // As many as one caller may have held, let go to the new driver at the same moment.
    const first = await Promise.all([calls(follower, shared, 8), calls(leader, shared, 8)]);
    for (const outcomes of first) expect(tally(outcomes)).toEqual({ OK: 8 });
    for (const stack of [follower, leader]) {
      const begun = performance.now();
      expect(tally(await calls(stack, shared, 100))).toEqual({ OK: 100 });
      print(`100 calls at once: ${Math.round(performance.now() - begun)} ms`);
    }
    for (let index = 0; index < 50; index += 1) {
      for (const stack of [leader, follower]) expect(tally(await calls(stack, shared, 1))).toEqual({ OK: 1 });
    }
    const { uid } = await onlyPod();
    expect((await allRecords(world.stacks)).filter((each) => each.driver_uid === uid)).toEqual([]);

    const named = { user: "alice", session: shared.replace("/", ".") };
    const clients = [await liveClient(follower, named), await liveClient(leader, named)];
    for (const client of clients) {
      await client.result("connect");
      expect(await client.result("count")).toBe(10);
    }
    await world.agent.kill(uid);
    const ends = async () => (await allRecords(world.stacks)).filter((each) => each.driver_uid === uid);
    await until(async () => (await ends()).length > 0, { ...long, what: "its end is audited" });
    for (const client of clients) {
      expect((await client.ask("count").done).error).toMatch(/SESSION_CHANGED/);
      await client.result("get_or_create");
      expect(await client.result("count")).toBe(10);
      await client.end();
    }
    expect((await onlyPod()).uid).not.toBe(uid);
    expect(await ends()).toMatchObject([{ action: "ended", reason: "died", owner: "alice@local" }]);
  });

  test("the leader does not end what only the follower saw: a query, then a detached operation; then it does", async () => {
    const session = "brief/query";
    const file = join(follower.folder, "hold-query");
    const run = await startClient(follower, session, { args: ["hold", file] });
    await queryRuns(run, file);
    const driver = runningDriver(world, session);
    await livesOf(follower).stays(driver, 1.5 * idleMs, ["stream", "detached"]);
    expect((await livesOf(leader).seen(driver))?.busy.length).toBeGreaterThan(0);
    run.signal("SIGKILL");
    await run.done;
    const killedAt = Date.now();
    await endedOnce(driver);
    print(`detached operation: ended ${Date.now() - killedAt} ms after its client (grace ${graceMs}, idle ${idleMs})`);
    expect(Date.now() - killedAt).toBeGreaterThanOrEqual(graceMs);
  });

  test("the leader does not end what only the follower saw: a streaming query, stopped through the leader", async () => {
    const session = "brief/streaming";
    const file = join(follower.folder, "hold-streaming");
    const run = await startClient(follower, session, { args: ["stream", file] });
    const { session: connectSession } = (await run.line("streaming")).result as { session: string };
    const driver = runningDriver(world, session);
    run.signal("SIGKILL");
    await run.done;
    await until(async () => (await livesOf(leader).seen(driver))?.busy.includes("streaming_query") === true, {
      ...long,
      what: "the leader knows of the streaming query",
    });
    const records = async () => (await allRecords(world.stacks)).filter(({ driver_uid }) => driver_uid === driver.uid);
    const end = Date.now() + 1.5 * idleMs + graceMs;
    await until(async () => (await records()).length > 0 || Date.now() > end, long);
    expect(await records()).toEqual([]);
    const stopping = await startClient(leader, session, { args: ["stop_streams"], connectSession });
    expect((await stopping.line("stopped")).error).toBeUndefined();
    await stopping.done;
    await endedOnce(driver);
  });
});

test("nothing is left of what ended", async () => {
  await writeFile(join(follower.folder, "hold-query"), "");
  await until(async () => (await world.cluster.admin.list(secrets, "brief")).length === 0, long);
  expect(await world.cluster.admin.list(pods, "brief")).toEqual([]);
  expect(world.agent.running().map(({ name }) => name)).toEqual([driverOf(shared)]);
});
