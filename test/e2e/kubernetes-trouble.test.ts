import { afterAll, beforeAll, expect, test } from "vitest";
import { driverRecords, envoyAccepted } from "../support/kill-watch.ts";
import { grant, serviceAccountUser } from "../support/kube/access-rights.ts";
import { driverRules } from "../support/kube/rules.ts";
import { startTroubleWorld, type TroubleWorld } from "../support/kube/trouble-world.ts";
import { quickLives } from "../support/lifetimes.ts";
import { type LiveClient, liveClient } from "../support/live-client.ts";
import { until } from "../support/until.ts";

// The API server away, slow and refusing, with stock clients in between. Each test leaves all well for the next.

const leaseMs = 6_000;
const staleMs = 10_000;
const idleMs = 6_000;
const long = { deadlineMs: 45_000 };

let here: TroubleWorld;
let alice: LiveClient;
let bob: LiveClient;
const clients: LiveClient[] = [];
const print = (line: string) => void process.stderr.write(`${line}\n`);

async function client(user: string, session: string): Promise<LiveClient> {
  const made = await liveClient(here.stack, { user, session });
  clients.push(made);
  // Asks for nothing yet.
  await made.result("connect");
  return made;
}

const uidOf = async (session: string): Promise<string> => (await here.podOf(session)).metadata.uid;

/** Waits until nothing is left to warn of. @returns how long that took, ms */
async function allWell(): Promise<number> {
  const begun = performance.now();
  await until(async () => (await here.readyz()).warnings.length === 0, { ...long, what: "no warnings" });
  return Math.round(performance.now() - begun);
}

beforeAll(async () => {
  const lives = quickLives(60_000, { brief: { idle_timeout_minutes: idleMs / 60_000 } });
  const creation = [...lives.policy.creation, { namespaces: ["sjns-{team}-{environment}"] }];
  here = await startTroubleWorld(
    { driverNamespaces: ["sjns-analytics-dev", "sjns-platform-dev", "brief"] },
    {
      ...lives,
      policy: { creation },
      hold: { limit_seconds: 60 },
      runtime: { kubernetes: { stale_after_seconds: staleMs / 1000, request_timeout_seconds: 2 } },
    },
  );
  alice = await client("alice", "sjns-analytics-dev.main");
  bob = await client("bob", "sjns-platform-dev.main");
  await Promise.all([alice.result("count"), bob.result("count")]);
});

afterAll(async () => {
  for (const each of clients) await each.end();
  await here?.stop();
});

test("every watch expired at once: all is listed anew, no driver flaps in Envoy", async () => {
  await until(async () => (await here.clusters()).length === 2, { ...long, what: "two drivers in Envoy" });
  const before = { envoy: await envoyAccepted(here.stack), fates: await driverRecords(here.stack) };
  const relists = async () => (await here.stack.metrics()).value("gatehouse_kubernetes_relists_total");
  const relisted = await relists();
  const count = alice.ask("count");
  const watches = here.proxy.expireWatches();
  expect(watches).toBeGreaterThanOrEqual(9);
  await until(async () => (await relists()) - relisted >= watches, { ...long, what: "all is listed anew" });
  expect(await count.done).toMatchObject({ result: 10 });
  expect(await bob.result("count")).toBe(10);
  expect(await envoyAccepted(here.stack)).toEqual(before.envoy);
  expect(await driverRecords(here.stack)).toEqual(before.fates);
});

test("the API server killed, away for longer than lease and stale limit, back with its history compacted", async () => {
  const brief = await client("carol", "brief.main");
  await brief.result("count");
  const uids = await Promise.all(["sjns-analytics-dev/main", "sjns-platform-dev/main", "brief/main"].map(uidOf));
  const fates = await Promise.all(uids.map(async (uid) => await here.fate(uid)));
  const { apiServer, etcdUrl } = here.world.cluster;
  const seen = here.proxy.seen.length;
  await apiServer.kill9();
  const since = performance.now();
  const away = () => performance.now() - since;
  const lateClient = await client("bob", "sjns-platform-dev.late");
  const late = lateClient.ask("count");
  await until(async () => (await here.readyz()).warnings.some((line) => line.includes("cannot be read")), long);
  const limit = 1_500 + Math.max(leaseMs, staleMs, idleMs);
  while (away() < limit) {
    // In use all the time, which only this replica's memory knows.
    expect(await brief.result("count")).toBe(10);
    expect(await alice.result("count")).toBe(10);
    expect((await here.readyz()).status).toBe(200);
  }
  const { warnings } = await here.readyz();
  expect(warnings).toContainEqual("no replica is known to lead: drivers are neither started nor stopped");
  expect(late.pending()).toBe(true);
  const tries = here.proxy.seen.length - seen;
  await compact(etcdUrl);
  await apiServer.start();
  const awayMs = Math.round(away());
  const wellMs = await allWell();
  expect(await late.done).not.toHaveProperty("error");
  expect(await brief.result("count")).toBe(10);
  expect(await Promise.all(uids.map(async (uid) => await here.fate(uid)))).toEqual(fates);
  expect(await Promise.all(["sjns-analytics-dev/main", "sjns-platform-dev/main", "brief/main"].map(uidOf))).toEqual(
    uids,
  );
  const idleFrom = Date.now();
  // The reaper is back too.
  await until(async () => (await here.fate(uids[2] ?? "")).includes("stop idle"), { ...long, what: "it is reaped" });
  const drain = (await driverRecords(here.stack)).find(
    ({ driver_uid, action }) => driver_uid === uids[2] && action === "drain",
  );
  expect(Date.parse(drain?.time ?? "")).toBeGreaterThanOrEqual(idleFrom + idleMs - 1_000);
  print(
    `API server away for ${awayMs} ms: ${tries} requests in vain (${((tries * 1000) / awayMs).toFixed(1)}/s), all well ` +
      `${wellMs} ms after it served again; a start asked for meanwhile took ${(await late.done).seconds.toFixed(1)} s`,
  );
});

test("the API server holds still: warm drivers answer, Gatehouse stops leading and leads again", async () => {
  const uid = await uidOf("sjns-analytics-dev/main");
  const leads = async () => (await here.readyz()).warnings.every((line) => !line.startsWith("no replica"));
  const { apiServer } = here.world.cluster;
  apiServer.pause();
  try {
    await until(async () => !(await leads()), { ...long, what: "it leads no more" });
    expect(await alice.result("count")).toBe(10);
    expect((await here.readyz()).status).toBe(200);
  } finally {
    apiServer.resume();
  }
  const wellMs = await allWell();
  expect(await uidOf("sjns-analytics-dev/main")).toBe(uid);
  print(`API server held still: all well ${wellMs} ms after it went on`);
});

test("429 and 500 for every request, then slow answers: a start waits and then takes place, once", async () => {
  const starting = await client("alice", "sjns-analytics-dev.patient");
  let turn = 0;
  here.proxy.refuse = ({ query }) => {
    if (query.get("watch") === "true") return undefined;
    turn += 1;
    return turn % 2 === 0 ? { status: 500 } : { status: 429, reason: "TooManyRequests", retryAfterSeconds: 1 };
  };
  const begun = performance.now();
  const count = starting.ask("count");
  await until(() => turn >= 12 && performance.now() - begun > 4_000, { ...long, what: "some refusals" });
  expect(await alice.result("count")).toBe(10);
  expect(count.pending()).toBe(true);
  here.proxy.delayMs = 400;
  here.proxy.refuse = () => undefined;
  const { error, seconds } = await count.done;
  here.proxy.delayMs = 0;
  expect(error).toBeUndefined();
  const uid = await uidOf("sjns-analytics-dev/patient");
  expect(await here.fate(uid)).toEqual([]);
  print(`429/500 for 4 s, then 400 ms for each request: ${turn} refused, the start took ${seconds.toFixed(1)} s`);
  await allWell();
});

test("403 on one namespace: its drivers stay, a warning names it, the other goes on; given back, all is well", async () => {
  const namespace = "sjns-platform-dev";
  const { admin } = here.world.cluster;
  const user = serviceAccountUser(here.world.homeNamespace, "gatehouse");
  const uid = await uidOf(`${namespace}/main`);
  const fate = await here.fate(uid);
  await grant(admin, "gatehouse-drivers", { user, namespace, rules: [] });
  here.proxy.breakWatches();
  const warned = async () =>
    (await here.readyz()).warnings.filter((line) => line.startsWith(`pods of namespace ${namespace} may not be read`));
  await until(async () => (await warned()).length > 0, { ...long, what: "a warning" });
  expect((await here.readyz()).status).toBe(200);
  expect(await bob.result("count")).toBe(10);
  expect(await alice.result("count")).toBe(10);
  const refused = await client("bob", `${namespace}.refused`);
  const answer = await refused.ask("count").done;
  expect(answer.error).toContain(`"${namespace}"`);
  await grant(admin, "gatehouse-drivers", { user, namespace, rules: driverRules });
  const wellMs = await allWell();
  expect(await bob.result("count")).toBe(10);
  expect([await uidOf(`${namespace}/main`), await here.fate(uid)]).toEqual([uid, fate]);
  print(`403 on one namespace: all well ${wellMs} ms after the right was given back; a start said: ${answer.error}`);
});

/** As etcd does after five minutes: no watch can go on from what was before. */
async function compact(etcdUrl: string): Promise<void> {
  const ask = async (path: string, body: object): Promise<{ header?: { revision?: string } }> => {
    const answer = await fetch(`${etcdUrl}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`etcd: ${await answer.text()}`);
    return (await answer.json()) as { header?: { revision?: string } };
  };
  const { header } = await ask("kv/range", { key: Buffer.from("/none").toString("base64") });
  await ask("kv/compaction", { revision: header?.revision, physical: true });
}
