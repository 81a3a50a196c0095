import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { annotation, label } from "../../src/edges/kubernetes/labels.ts";
import type { Pod, Secret, Stored } from "../../src/edges/kubernetes/objects.ts";
import { askSettings } from "../support/connect-call.ts";
import { callOnce } from "../support/kill-watch.ts";
import { pods } from "../support/kube/access.ts";
import { installCrds, operatorCrds } from "../support/kube/crds.ts";
import { type Operator, startOperator } from "../support/kube/operators.ts";
import { startTroubleWorld, type TroubleWorld } from "../support/kube/trouble-world.ts";
import { type LiveClient, liveClient } from "../support/live-client.ts";
import { startRawDriver } from "../support/raw-spark.ts";
import { until } from "../support/until.ts";

// What happens to the pods of drivers, with stock clients in between. Each test leaves all well for the next.

const secrets = { apiVersion: "v1", plural: "secrets" } as const;
const home = "sjns-analytics-dev";
const long = { deadlineMs: 45_000 };
const unauthenticated = 16;

let here: TroubleWorld;
let alice: LiveClient;
let operator: Operator | undefined;
const clients: LiveClient[] = [];
const print = (line: string) => void process.stderr.write(`${line}\n`);

async function client(user: string, session: string): Promise<LiveClient> {
  const made = await liveClient(here.stack, { user, session });
  clients.push(made);
  // Asks for nothing yet.
  await made.result("connect");
  return made;
}

/** The old Spark session is told to be gone; a new one works. */
async function changesSession(live: LiveClient): Promise<void> {
  expect((await live.ask("count").done).error).toMatch(/\(SESSION_CHANGED\)|\[NO_ACTIVE_SESSION\]/);
  await live.result("get_or_create");
  expect(await live.result("count")).toBe(10);
}

const isGone = (uid: string) => (all: readonly { readonly name: string }[]) =>
  all.every(({ name }) => !name.endsWith(uid));

async function tokenOf({ metadata: { name, namespace = "" } }: Stored<Pod>): Promise<string> {
  const { items } = await here.world.cluster.admin.request<{ items: Stored<Secret>[] }>(
    "GET",
    `/api/v1/namespaces/${namespace}/secrets`,
    { query: { labelSelector: `${label.driver}=${name}` } },
  );
  return Buffer.from(items[0]?.data?.["token"] ?? "", "base64").toString();
}

interface SparkContainer {
  readonly env?: readonly { readonly valueFrom?: { readonly secretKeyRef?: { name: string } } }[];
  volumeMounts?: readonly { readonly name: string }[];
}

/** The container of a driver of ours, with its token from another Secret. */
function sparkOf(spec: Pod["spec"], secret: string) {
  // What the API server has added for the ServiceAccount stays out.
  const isOurs = ({ name }: { readonly name: string }) => !name.startsWith("kube-api-access");
  const container = structuredClone(spec?.containers?.[0]) as SparkContainer & Record<string, unknown>;
  container.volumeMounts = (container.volumeMounts ?? []).filter(isOurs);
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.secretKeyRef !== undefined) valueFrom.secretKeyRef.name = secret;
  }
  return { container, volumes: ((spec?.["volumes"] ?? []) as { name: string }[]).filter(isOurs) };
}

beforeAll(async () => {
  here = await startTroubleWorld(
    { driverNamespaces: [home, "sjns-platform-dev", "operated"], crds: false },
    {
      profiles: { operated: { on_demand: { executor_instances: 1 }, kubernetes: { kind: "spark-connect" } } },
      policy: {
        creation: [{ namespaces: ["operated"], profile: "operated" }, { namespaces: ["sjns-{team}-{environment}"] }],
      },
      hold: { limit_seconds: 60, failure_memory_seconds: 1 },
    },
  );
  alice = await client("alice", `${home}.main`);
  expect(await alice.result("count")).toBe(10);
});

afterAll(async () => {
  for (const each of clients) await each.end();
  await operator?.stop();
  await here?.stop();
});

test.each([
  {
    what: "evicted",
    act: async ({ metadata: { uid } }: Stored<Pod>) => await here.world.agent.evict(uid),
    isSeen: (pod: Stored<Pod> | undefined) => pod?.status?.reason === "Evicted",
    fate: "ended died",
  },
  {
    what: "deleted by somebody",
    act: async ({ metadata: { name } }: Stored<Pod>) => await here.world.cluster.admin.delete(pods, home, name),
    isSeen: (pod: Stored<Pod> | undefined) => pod?.metadata.deletionTimestamp !== undefined,
    fate: "ended vanished",
  },
  {
    what: "its container killed",
    act: async ({ metadata: { uid } }: Stored<Pod>) => await here.world.agent.kill(uid),
    isSeen: (pod: Stored<Pod> | undefined) => pod?.status?.phase === "Failed",
    fate: "ended died",
  },
])(
  "a driver's pod $what: Envoy drops it at once, old sessions are told, the next request gets a new driver",
  async ({ what, act, isSeen, fate }) => {
    const pod = await here.podOf(`${home}/main`);
    const { uid } = pod.metadata;
    const dropped = here.envoyShows("the cluster is gone", isGone(uid));
    await act(pod);
    const seenAt = await here.podSeen(uid, isSeen);
    const ms = Math.round((await dropped) - seenAt);
    await changesSession(alice);
    expect((await here.podOf(`${home}/main`)).metadata.uid).not.toBe(uid);
    await until(async () => (await here.fate(uid)).includes(fate), { ...long, what: "it is audited" });
    print(`pod ${what}: Envoy had dropped its cluster ${ms} ms after the API server told of it`);
  },
);

test("a discovered driver whose pod comes back at another address is reached there", async () => {
  const { admin } = here.world.cluster;
  const { spec } = await here.podOf(`${home}/main`);
  const ours = await tokenOf(await here.podOf(`${home}/main`));
  const token = randomBytes(24).toString("base64url");
  const secret = { apiVersion: "v1", kind: "Secret", stringData: { token } };
  const labels = { [label.installation]: "gatehouse" };
  const metadata = { name: "theirs", namespace: home, labels, annotations: { [annotation.owner]: "alice@local" } };
  await admin.create(secrets, { ...secret, metadata });
  const { container, volumes } = sparkOf(spec, "theirs");
  const { metadata: made } = await admin.create<Pod>(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "found",
      namespace: home,
      labels: { [label.discover]: "true" },
      annotations: {
        [annotation.session]: `${home}/found`,
        [annotation.owner]: "alice@local",
        [annotation.tokenSecret]: "theirs",
      },
    },
    spec: { restartPolicy: "Always", containers: [container], volumes },
  });
  const at = (uid: string) => (all: readonly { name: string }[]) => all.some(({ name }) => name.endsWith(`|${uid}`));
  await here.envoyShows("it is there", at(made.uid));
  const found = await client("alice", `${home}.found`);
  expect(await found.result("count")).toBe(10);
  const moved = here.envoyShows("it is at its new address", (all) =>
    all.some(({ name, hosts }) => name.endsWith(`|${made.uid}-r1`) && hosts.length === 1),
  );
  const ip = await here.world.agent.changeIp(made.uid);
  const isReady = (pod: Stored<Pod> | undefined) =>
    pod?.status?.podIP === ip &&
    pod.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
  const seenAt = await here.podSeen(made.uid, isReady);
  const ms = Math.round((await moved) - seenAt);
  await changesSession(found);
  expect((await here.clusters()).find(({ name }) => name.endsWith(`${made.uid}-r1`))?.hosts).toEqual([`${ip}:15002`]);
  expect(ours).not.toBe(token);
  print(`discovered pod moved: Envoy reached the new address ${ms} ms after the API server told that it is ready`);
});

test("a dead driver's address goes to others before Gatehouse knows: no token opens anything, nothing is executed", async () => {
  const session = { user: "alice", session: `${home}.main` };
  const pod = await here.podOf(`${home}/main`);
  const { uid, name } = pod.metadata;
  const host = pod.status?.podIP ?? "";
  const token = await tokenOf(pod);
  const userToken = await here.stack.token("alice");
  // Neither the watch nor the answer to a write of its own tells Gatehouse.
  const release = here.proxy.holdBack(uid);
  here.proxy.refuse = ({ method, path }) =>
    method === "PATCH" && path.endsWith(`/${name}`) ? { status: 503 } : undefined;
  await here.world.agent.kill(uid);

  // First a pod that is no driver, and writes down what it gets.
  const stranger = await startRawDriver(host, 15_002);
  await callOnce(here.stack, { ...session, token: userToken });
  await until(() => stranger.seen.length > 0, { ...long, what: "the call arrives" });
  const arrived = [...stranger.seen];
  stranger.close();
  for (const { headers } of arrived) {
    expect(headers["authorization"]).toBe(`Bearer ${token}`);
    expect(JSON.stringify(headers)).not.toContain(userToken);
  }
  const others = here.world.agent.running();
  expect(others.length).toBeGreaterThan(0);
  for (const { ip } of others) expect(await askSettings({ host: ip, port: 15_002 }, token)).toBe(unauthenticated);

  // Then the driver of another user.
  here.world.agent.holdIp(host);
  const bob = await client("bob", "sjns-platform-dev.heir");
  expect(await bob.result("count")).toBe(10);
  const heir = await here.podOf("sjns-platform-dev/heir");
  expect(heir.status?.podIP).toBe(host);
  expect(await callOnce(here.stack, { ...session, token: userToken })).toMatchObject({ code: unauthenticated });
  expect((await alice.ask("count").done).error).toMatch(/UNAUTHENTICATED|Invalid authentication token/i);
  expect(await tokenOf(heir)).not.toBe(token);

  const dropped = here.envoyShows("the cluster is gone", isGone(uid));
  const releasedAt = performance.now();
  here.proxy.refuse = () => undefined;
  release();
  const ms = Math.round((await dropped) - releasedAt);
  await changesSession(alice);
  expect(await bob.result("count")).toBe(10);
  expect(await here.fate(heir.metadata.uid)).toEqual([]);
  print(
    `address reused before Gatehouse knew: ${arrived.length} calls reached a stranger, with the dead driver's token and ` +
      `the headers ${Object.keys(arrived[0]?.headers ?? {}).join(", ")}; dropped ${ms} ms after the news`,
  );
});

test("after the news nothing is sent to the address of a driver that is gone", async () => {
  const pod = await here.podOf(`${home}/main`);
  const host = pod.status?.podIP ?? "";
  const dropped = here.envoyShows("the cluster is gone", isGone(pod.metadata.uid));
  await here.world.agent.kill(pod.metadata.uid);
  await dropped;
  const stranger = await startRawDriver(host, 15_002);
  try {
    await changesSession(alice);
    for (let call = 0; call < 20; call += 1) await callOnce(here.stack, { user: "alice", session: `${home}.main` });
    expect(stranger.seen).toEqual([]);
  } finally {
    stranger.close();
  }
});

test("a namespace deleted with a driver in it: it ends, its clients are told, others go on", async () => {
  const namespace = "sjns-platform-dev";
  const bob = await client("bob", `${namespace}.heir`);
  expect(await bob.result("count")).toBe(10);
  const { uid } = (await here.podOf(`${namespace}/heir`)).metadata;
  const other = (await here.podOf(`${home}/main`)).metadata.uid;
  const dropped = here.envoyShows("the cluster is gone", isGone(uid));
  await here.world.cluster.admin.deleteNamespace(namespace);
  expect(await alice.result("count")).toBe(10);
  await dropped;
  const { error } = await bob.ask("count").done;
  expect(error).toMatch(/\(SESSION_CHANGED\)|\(DRIVER_FAILED\)|\[NO_ACTIVE_SESSION\]/);
  const again = await client("bob", `${namespace}.heir`);
  const refused = (await again.ask("count").done).error;
  expect(refused).toMatch(/\(DRIVER_FAILED\).*namespace/);
  await until(async () => (await here.fate(uid)).includes("ended vanished"), { ...long, what: "it is audited" });
  expect(await alice.result("count")).toBe(10);
  expect((await here.podOf(`${home}/main`)).metadata.uid).toBe(other);
  print(`namespace deleted: old session: ${error}; a new one: ${refused}`);
});

test("a kind whose CRD is missing at first: a clear refusal, and after its installation a driver", async () => {
  const { admin } = here.world.cluster;
  const early = await client("alice", "operated.main");
  const { error } = await early.ask("count").done;
  expect(error).toMatch(/\(DRIVER_FAILED\)/);
  await installCrds(admin, operatorCrds);
  operator = await startOperator("spark-connect", { admin });
  const begun = performance.now();
  await until(async () => (await early.ask("count").done).result === 10, { deadlineMs: 90_000, what: "it works" });
  print(`CRD missing: ${error}; rows came ${Math.round(performance.now() - begun)} ms after its installation`);
});
