import { randomBytes } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { kinds } from "../../src/edges/kubernetes/kinds.ts";
import type { DriverResource, Pod, Stored } from "../../src/edges/kubernetes/objects.ts";
import { podOf } from "../../src/edges/kubernetes/pod-of.ts";
import { buildResource } from "../../src/edges/kubernetes/template.ts";
import { askSettings } from "../support/connect-call.ts";
import { pods } from "../support/kube/access.ts";
import { type KubeCluster, startKubeCluster } from "../support/kube/cluster.ts";
import { type NodeAgent, startNodeAgent } from "../support/kube/node-agent.ts";
import { type Operator, type OperatorKind, startOperator } from "../support/kube/operators.ts";
import { testTools } from "../support/tools.ts";
import { until } from "../support/until.ts";
import { exampleInput, plainProfile } from "../unit/edges-kubernetes/template-example.ts";

const startMs = 60_000;
const served: readonly number[] = [status.OK];

interface Expected {
  /** What the status says, by its path, of a driver that runs, and of one that could not be submitted. */
  readonly state: (status: Status | undefined) => unknown;
  readonly running: string;
  readonly refused: RegExp;
  /** After the driver's pod was killed. */
  readonly ended: RegExp;
}

type Status = Readonly<Record<string, Readonly<Record<string, unknown>> & string>>;

const all: Readonly<Record<OperatorKind, Expected>> = {
  "spark-application": {
    state: (of) => of?.["applicationState"]?.["state"],
    running: "RUNNING",
    refused: /"state":"FAILED"/,
    ended: /driver container failed with ExitCode: 137, Reason: Error/,
  },
  "spark-connect": {
    state: (of) => of?.["state"],
    running: "Ready",
    refused: /"state":"NotReady"/,
    ended: /"state":"NotReady"/,
  },
  "apache-spark-application": {
    state: (of) => of?.["currentState"]?.["currentStateSummary"],
    running: "RunningHealthy",
    refused: /SchedulingFailure.*no room.*ResourceReleased|ResourceReleased.*SchedulingFailure.*no room/,
    ended: /"Failed".*ResourceReleased|ResourceReleased.*"Failed"/,
  },
};

describe("the operators' stand-ins", () => {
  let cluster: KubeCluster;
  let agent: NodeAgent;
  const operators = new Map<OperatorKind, Operator>();

  beforeAll(async () => {
    cluster = await startKubeCluster();
    agent = await startNodeAgent({ admin: cluster.admin, tools: await testTools() });
    for (const kind of Object.keys(all) as OperatorKind[]) {
      operators.set(kind, await startOperator(kind, { admin: cluster.admin }));
      await cluster.admin.createNamespace(kind);
    }
  }, 600_000);
  afterAll(async () => {
    await Promise.all([...operators.values()].map(async (operator) => await operator.stop()));
    await agent?.stop();
    await cluster?.stop();
  }, 60_000);

  for (const kind of Object.keys(all) as OperatorKind[]) {
    const { state, running, refused, ended } = all[kind];
    const of = kinds[kind];
    const create = async (app: string) => {
      const { admin } = cluster;
      const name = `gh-${app}`;
      const example = exampleInput({ ...plainProfile, executorInstances: 1 }, kind);
      const facts = { ...example.facts, namespace: kind, tokenSecret: `${name}-token` };
      const main = await admin.create<DriverResource>(of, buildResource({ ...example, name, facts }));
      const token = randomBytes(24).toString("base64url");
      await admin.create({ apiVersion: "v1", plural: "secrets" }, {
        metadata: { name: facts.tokenSecret, namespace: kind },
        stringData: { token },
      } as never);
      return { main, name, token };
    };
    const read = async (name: string) => await cluster.admin.get<DriverResource>(of, kind, name);
    const statusOf = async (name: string) => (await read(name)).status as Status | undefined;
    const pod = async (main: Stored<DriverResource>): Promise<Stored<Pod> | undefined> =>
      podOf(kind, await read(main.metadata.name), await cluster.admin.list<Pod>(pods, kind));
    const says = async (name: string, what: RegExp) =>
      await until(async () => what.test(JSON.stringify(await statusOf(name))), {
        deadlineMs: startMs,
        what: `the status of ${name} says ${what}`,
      });

    it(`${kind}: runs what Gatehouse asks for, and ends it with the object`, { timeout: 120_000 }, async () => {
      const { main, name, token } = await create("one");
      await until(async () => state(await statusOf(name)) === running, { deadlineMs: startMs, what: `${name} runs` });
      await until(async () => (await pod(main))?.status?.conditions?.some((one) => one.type === "Ready") === true);
      const made = (await pod(main))!;
      await until(async () => agent.running().some(({ uid }) => uid === made.metadata.uid));
      const address = { host: made.status?.podIP ?? "", port: 15_002 };
      await until(async () => served.includes(await askSettings(address, token)), { deadlineMs: startMs });
      expect(await askSettings(address, "another")).toBe(status.UNAUTHENTICATED);
      expect(made.metadata.labels).toMatchObject({ "gatehouse.dev/driver": expect.any(String) as string });
      await cluster.admin.delete(of, kind, name);
      await cluster.admin.gone(of, kind, name);
      await cluster.admin.gone(pods, kind, made.metadata.name);
    });

    it(`${kind}: says that a submission failed, and how a driver ended`, { timeout: 120_000 }, async () => {
      operators.get(kind)!.failNext("no room");
      const refusedOne = await create("two");
      await says(refusedOne.name, refused);
      const { main, name } = await create("three");
      await until(async () => agent.running().some((one) => one.name.startsWith(name)), { deadlineMs: startMs });
      const { uid } = agent.running().find((one) => one.name.startsWith(name))!;
      await agent.kill(uid);
      await says(name, ended);
      for (const one of [refusedOne.main, main]) await cluster.admin.delete(of, kind, one.metadata.name);
      for (const one of [refusedOne.main, main]) await cluster.admin.gone(of, kind, one.metadata.name);
      await until(async () => (await cluster.admin.list(pods, kind)).length === 0, { deadlineMs: 30_000 });
    });
  }

  it("spark-connect: a deleted pod comes back", { timeout: 120_000 }, async () => {
    const { admin } = cluster;
    const example = exampleInput({ ...plainProfile, image: "idle:1" }, "spark-connect");
    const facts = { ...example.facts, namespace: "spark-connect", tokenSecret: "gh-one-token" };
    await admin.create(kinds["spark-connect"], buildResource({ ...example, name: "gh-four", facts }));
    const uid = async () => (await admin.find(pods, "spark-connect", "gh-four-server"))?.metadata.uid;
    await until(async () => (await uid()) !== undefined);
    const first = await uid();
    await admin.delete(pods, "spark-connect", "gh-four-server", { gracePeriodSeconds: 0 });
    await until(async () => ![undefined, first].includes(await uid()));
  });
});
