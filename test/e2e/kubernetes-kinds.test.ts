import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DriverRecord } from "../../src/decisions/audit.ts";
import type { DriverKind } from "../../src/edges/kubernetes/kinds.ts";
import { annotation, label } from "../../src/edges/kubernetes/labels.ts";
import type { Stored } from "../../src/edges/kubernetes/objects.ts";
import { pods } from "../support/kube/access.ts";
import { driverParts, nothingLeft, podLog, secrets } from "../support/kube/driver-parts.ts";
import { type Operator, type OperatorKind, startOperator } from "../support/kube/operators.ts";
import { type KubeWorld, startKubeWorld } from "../support/kube/world.ts";
import { idleProfile, type Lives, livesOf, quickLives } from "../support/lifetimes.ts";
import { type LiveClient, liveClient } from "../support/live-client.ts";
import type { Stack } from "../support/stack.ts";
import { until } from "../support/until.ts";

/** The default namespace of alice's team has the default profile, a plain pod; each other a profile that has its name. */
const places: Readonly<Record<DriverKind, string>> = {
  pod: "sjns-analytics-dev",
  "spark-application": "kubeflow-application",
  "spark-connect": "kubeflow-connect",
  "apache-spark-application": "apache-application",
};
/** Nobody may start drivers there. */
const theirs = "somebody-elses";

let world: KubeWorld;
let stack: Stack;
let lives: Lives;
const operators: Operator[] = [];
const clients: LiveClient[] = [];

beforeAll(async () => {
  world = await startKubeWorld({ driverNamespaces: [...Object.values(places), theirs] });
  const { admin } = world.cluster;
  for (const kind of Object.keys(places) as DriverKind[]) {
    if (kind !== "pod") operators.push(await startOperator(kind satisfies OperatorKind, { admin }));
  }
  stack = await world.replica({ config: config() });
  lives = livesOf(stack);
});

afterAll(async () => {
  for (const client of clients) await client.end();
  for (const operator of operators) await operator.stop();
  await world?.stop();
});

function config() {
  const ofKind = (kind: DriverKind) =>
    [places[kind], { ...idleProfile, kubernetes: { kind }, on_demand: { executor_instances: 1 } }] as const;
  const others = Object.fromEntries((Object.keys(places) as DriverKind[]).filter((kind) => kind !== "pod").map(ofKind));
  const { policy, ...quick } = quickLives(0, others);
  return {
    ...quick,
    profiles: { ...others, default: idleProfile, trusting: { allow_tokenless: true } },
    policy: { creation: [...policy.creation, { namespaces: ["sjns-{team}-{environment}"] }] },
  };
}

async function client(session: string): Promise<LiveClient> {
  const made = await liveClient(stack, { user: "alice", session });
  clients.push(made);
  return made;
}

const driverRecords = async (session: string): Promise<readonly DriverRecord[]> =>
  (await stack.audit()).flatMap((each) => (each.kind === "driver" && each.session === session ? [each] : []));

/** The whole life of its only driver in the audit, once that has ended. */
async function wholeLife(session: string): Promise<readonly (readonly [string, string])[]> {
  const over = async () => (await driverRecords(session)).at(-1)?.action === "ended";
  await until(over, { deadlineMs: 90_000, what: `the driver of ${session} ends` });
  return (await driverRecords(session)).map(({ action, reason }) => [action, reason] as const);
}

const idleEnd = [
  ["drain", "idle"],
  ["stop", "idle"],
  ["ended", "stopped"],
];

// Side by side, since most of the time is spent waiting for the end.
describe.concurrent("drivers that Gatehouse starts", () => {
  test.each(Object.entries(places) as [DriverKind, string][])(
    "%s: rows for its owner, then its end",
    async (kind, namespace) => {
      const alice = await client(`${namespace}.main`);
      const connect = await alice.result("connect");
      expect(await alice.result("count")).toBe(10);
      const { main, pod, secret, token } = await driverParts(world, kind, namespace);
      const { uid, name } = main.metadata;
      expect(main.metadata.annotations).toMatchObject({
        [annotation.session]: `${namespace}/main`,
        [annotation.owner]: "alice@local",
      });
      expect(pod.metadata.labels?.[label.driver]).toBe(name);
      expect(world.agent.running().filter((one) => one.namespace === namespace)).toMatchObject([
        { uid: pod.metadata.uid, ip: pod.status?.podIP },
      ]);
      expect(secret.metadata.ownerReferences).toMatchObject([{ uid, name }]);
      const seen = (await lives.sessions("alice")).find(({ session }) => session === `${namespace}/main`);
      expect(seen).toMatchObject({ owner: "alice@local", driver_uid: uid, phase: "ready" });
      expect((await lives.sessions("bob")).filter(({ session }) => session === `${namespace}/main`)).toEqual([]);

      const log = await podLog(world, pod);
      expect(log).toContain(`userId: alice@local and sessionId: ${String(connect)}`);
      expect(token).toMatch(/^[\w-]{43}$/);
      const texts = [log, JSON.stringify([main, pod]), await stack.gatehouse.log(), await stack.envoy.log()];
      for (const text of [...texts, JSON.stringify(await stack.audit())]) expect(text).not.toContain(token);
      await alice.end();
      expect(await wholeLife(`${namespace}/main`)).toEqual([["start", "on_demand"], ...idleEnd]);
      await nothingLeft(world, kind, namespace);
    },
  );
});

/** A plain Spark Connect server that somebody else made, without a Secret. */
const foreignPod = (name: string, annotations: Readonly<Record<string, string>>, env: readonly object[]) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name,
    namespace: theirs,
    labels: { [label.discover]: "true" },
    annotations: { [annotation.owner]: "alice@local", ...annotations },
  },
  spec: {
    restartPolicy: "Never",
    containers: [
      {
        name: "server",
        image: "apache/spark:4.1.0-python3",
        command: ["/opt/spark/sbin/start-connect-server.sh"],
        args: ["--conf", "spark.connect.grpc.binding.address=$(POD_IP)"],
        env: [{ name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }, ...env],
        readinessProbe: { tcpSocket: { port: 15_002 } },
      },
    ],
  },
});

describe.concurrent("drivers that others start", () => {
  test("one whose Secret is named is served, and reaped; its Secret stays", async () => {
    const { admin } = world.cluster;
    const token = randomBytes(24).toString("base64url");
    await admin.create(secrets, {
      metadata: {
        name: "their-token",
        namespace: theirs,
        labels: { [label.installation]: "gatehouse" },
        annotations: { [annotation.owner]: "alice@local" },
      },
      stringData: { code: token },
    } as unknown as Stored);
    const valueFrom = { secretKeyRef: { name: "their-token", key: "code" } };
    const env = [{ name: "SPARK_CONNECT_AUTHENTICATE_TOKEN", valueFrom }];
    const named = { [annotation.app]: "report", [annotation.tokenSecret]: "their-token/code" };
    await admin.create(pods, foreignPod("their-pod", named, env));
    const seen = async () => (await lives.sessions("alice")).find(({ session }) => session === `${theirs}/report`);
    await until(async () => (await seen())?.phase === "ready", { deadlineMs: 60_000, what: "the pod is served" });
    const alice = await client(`${theirs}.report`);
    await alice.result("connect");
    expect(await alice.result("count")).toBe(10);
    expect(await podLog(world, await admin.get(pods, theirs, "their-pod"))).toContain("userId: alice@local");
    await alice.end();
    expect(await wholeLife(`${theirs}/report`)).toEqual(idleEnd);
    await admin.gone(pods, theirs, "their-pod");
    expect(await admin.find(secrets, theirs, "their-token")).toBeDefined();
    expect(await stack.gatehouse.log()).not.toContain(token);
  });

  test("one without is refused, unless its profile allows that", async () => {
    const { admin } = world.cluster;
    await admin.create(pods, foreignPod("open", {}, []));
    const alice = await client(`${theirs}.open`);
    const why = /it names no Secret with its token: add the annotation.*an object is not served/;
    const told = async () => why.test(await stack.gatehouse.log());
    await until(told, { deadlineMs: 30_000, what: "the log says why it is not served" });
    await alice.result("connect", { impatient: true });
    expect((await alice.ask("count").done).error).toMatch(/\(SESSION_FORBIDDEN\)/);
    expect(await driverRecords(`${theirs}/open`)).toEqual([]);
    await admin.patch(pods, theirs, "open", { metadata: { annotations: { [annotation.profile]: "trusting" } } });
    const seen = async () => (await lives.sessions("alice")).find(({ session }) => session === `${theirs}/open`);
    await until(async () => (await seen())?.phase === "ready", { deadlineMs: 60_000, what: "the open pod is served" });
    await alice.result("connect");
    expect(await alice.result("count")).toBe(10);
    await alice.end();
  });
});
