import { randomBytes } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ContainerStatus } from "../../src/edges/kubernetes/objects.ts";
import { askSettings } from "../support/connect-call.ts";
import { pods } from "../support/kube/access.ts";
import { type KubeCluster, startKubeCluster } from "../support/kube/cluster.ts";
import type { AgentContainer, AgentPod } from "../support/kube/kubelet-types.ts";
import { type NodeAgent, startNodeAgent } from "../support/kube/node-agent.ts";
import { isRunning } from "../support/processes.ts";
import { testTools } from "../support/tools.ts";
import { until } from "../support/until.ts";

const namespace = "node-agent";
const startMs = 60_000;

const secretOf = (name: string, token: string) => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name, namespace },
  stringData: { token },
});

const driver = (secret: string): Partial<AgentContainer> => ({
  image: "spark:4.1.0",
  command: ["/opt/spark/bin/spark-submit"],
  args: [
    ..."--master k8s://https://kubernetes.default.svc --class org.apache.spark.sql.connect.service.SparkConnectServer".split(
      " ",
    ),
    ..."--conf spark.connect.grpc.binding.address=$(POD_IP) --conf spark.kubernetes.namespace=$(NS)".split(" "),
    ..."--conf spark.dynamicAllocation.enabled=true --conf spark.app.name=named-$(NS) spark-internal".split(" "),
  ],
  env: [
    { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
    { name: "NS", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
    {
      name: "SPARK_CONNECT_AUTHENTICATE_TOKEN",
      valueFrom: { secretKeyRef: { name: secret, key: "token" } },
    },
  ],
  readinessProbe: { tcpSocket: { port: 15_002 } },
  resources: { limits: { memory: "1434Mi" } },
});

describe("the test node agent", () => {
  let cluster: KubeCluster;
  let agent: NodeAgent;

  beforeAll(async () => {
    cluster = await startKubeCluster();
    agent = await startNodeAgent({ admin: cluster.admin, tools: await testTools(), crashBackoffMs: 200 });
    await cluster.admin.createNamespace(namespace);
  }, 600_000);
  afterAll(async () => {
    await agent?.stop();
    await cluster?.stop();
  }, 60_000);

  const create = async (name: string, container: Partial<AgentContainer>, spec: object = {}): Promise<AgentPod> =>
    (await cluster.admin.create(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace },
      spec: { restartPolicy: "Never", containers: [{ name: "main", image: "idle:1", ...container }], ...spec },
    })) as unknown as AgentPod;
  const read = async (name: string): Promise<AgentPod> =>
    (await cluster.admin.get(pods, namespace, name)) as unknown as AgentPod;
  const when = async (
    name: string,
    holds: (status: NonNullable<AgentPod["status"]>) => boolean,
    deadlineMs = 10_000,
  ) => {
    let pod = await read(name);
    const looked = async () => {
      pod = await read(name);
      return pod.status !== undefined && holds(pod.status);
    };
    await until(looked, { deadlineMs, what: `${name}: ${holds.toString()}` }).catch((error: unknown) => {
      throw new Error(`${String(error)}; it is ${JSON.stringify(pod.status)}`);
    });
    return pod.status!;
  };
  const main = (of: NonNullable<AgentPod["status"]>): ContainerStatus | undefined => of.containerStatuses?.[0];
  const condition = (of: NonNullable<AgentPod["status"]>, type: string) =>
    of.conditions?.find((one) => one.type === type);
  const isReady = (of: NonNullable<AgentPod["status"]>) => condition(of, "Ready")?.status === "True";
  const log = async (name: string, query: Record<string, string | number> = {}) =>
    await cluster.admin.request<string>("GET", `/api/v1/namespaces/${namespace}/pods/${name}/log`, { query });

  it("runs a driver: waits for its Secret, serves at its address, ends with its pod", {
    timeout: 120_000,
  }, async () => {
    const token = randomBytes(24).toString("base64url");
    const { metadata } = await create("driver", driver("driver-token"));
    const waits = await when("driver", (of) => main(of)?.state?.waiting?.reason === "CreateContainerConfigError");
    expect(main(waits)?.state?.waiting?.message).toBe('secret "driver-token" not found');
    expect(isReady(waits)).toBe(false);
    await cluster.admin.create({ apiVersion: "v1", plural: "secrets" }, secretOf("driver-token", token));
    const runs = await when("driver", (of) => of.phase === "Running", startMs);
    expect(runs.podIP).toMatch(/^127\./);
    const { podIP } = await when("driver", isReady, startMs);
    const address = { host: podIP ?? "", port: 15_002 };
    expect(await askSettings(address, token)).toBe(status.OK);
    expect(await askSettings(address, "another")).toBe(status.UNAUTHENTICATED);
    expect(agent.running()).toMatchObject([{ uid: metadata.uid, name: "driver", ip: podIP }]);
    const pid = agent.running()[0]!.pid;

    expect(await log("driver")).toContain(`Submitted application: named-${namespace}`);
    expect((await log("driver", { tailLines: 1 })).trimEnd()).not.toContain("\n");
    expect(await log("driver", { tailLines: 5, limitBytes: 12 })).toHaveLength(12);

    await cluster.admin.delete(pods, namespace, "driver", { gracePeriodSeconds: 20 });
    await cluster.admin.gone(pods, namespace, "driver");
    expect(isRunning(pid)).toBe(false);
    expect(agent.running()).toEqual([]);
  });

  it("says how a driver ended that was killed, evicted, or could not start", { timeout: 120_000 }, async () => {
    await cluster.admin.create({ apiVersion: "v1", plural: "secrets" }, secretOf("other-token", "token"));
    const broken = { ...driver("other-token") };
    broken.args = [...(broken.args ?? []), "--conf", "spark.plugins=no.such.Plugin"];
    const killed = await create("killed", {});
    const evicted = await create("evicted", {});
    await create("broken", broken);
    for (const name of ["killed", "evicted"]) await when(name, isReady);
    await agent.kill(killed.metadata.uid);
    await agent.evict(evicted.metadata.uid);
    const one = await when("killed", (of) => of.phase === "Failed");
    expect(main(one)?.state?.terminated).toMatchObject({ exitCode: 137, reason: "Error" });
    const two = await when("evicted", (of) => of.phase === "Failed");
    expect(two).toMatchObject({ reason: "Evicted", message: expect.stringContaining("low on resource") as string });
    const three = await when("broken", (of) => of.phase === "Failed", startMs);
    expect(main(three)?.state?.terminated).toMatchObject({ exitCode: 1, reason: "Error" });
    expect(await log("broken")).toContain("no.such.Plugin");
  });

  it("moves a pod to another address, and gives one address to two pods in turn", async () => {
    const { metadata } = await create("mover", {});
    const before = await when("mover", isReady);
    const to = await agent.changeIp(metadata.uid);
    expect(to).not.toBe(before.podIP);
    expect((await when("mover", (of) => of.podIP === to && isReady(of))).podIPs).toEqual([{ ip: to }]);
    await agent.setReady(metadata.uid, false);
    expect(isReady((await read("mover")).status!)).toBe(false);
    await cluster.admin.delete(pods, namespace, "mover", { gracePeriodSeconds: 0 });
    agent.holdIp(to);
    await create("heir", {});
    expect((await when("heir", isReady)).podIP).toBe(to);
  });

  it("shows pods that fit nowhere, and images that are not there", async () => {
    await create("nowhere", {}, { nodeSelector: { disk: "golden" } });
    await create("imageless", { image: "registry.test/no-such-image:1" });
    const nowhere = condition(
      await when("nowhere", (of) => condition(of, "PodScheduled") !== undefined),
      "PodScheduled",
    );
    expect(nowhere).toMatchObject({ status: "False", reason: "Unschedulable" });
    expect(nowhere?.message).toMatch(/^0\/1 nodes are available: .*node affinity\/selector/);
    const imageless = await when("imageless", (of) => main(of)?.state?.waiting?.reason === "ImagePullBackOff");
    expect(imageless.phase).toBe("Pending");
    expect(main(imageless)?.state?.waiting?.message).toContain(
      'Back-off pulling image "registry.test/no-such-image:1"',
    );
    await expect(log("imageless")).rejects.toThrow(/waiting to start/);
    for (const name of ["nowhere", "imageless"]) {
      await cluster.admin.delete(pods, namespace, name);
      await cluster.admin.gone(pods, namespace, name);
    }
  });

  it("shows containers that run out of memory, and such that fail again and again", async () => {
    await create("oom", { image: "oom:1" });
    await create("crash", { image: "crash:1" }, { restartPolicy: "Always" });
    const oom = await when("oom", (of) => of.phase === "Failed");
    expect(main(oom)?.state?.terminated).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
    const crash = await when("crash", (of) => main(of)?.state?.waiting?.reason === "CrashLoopBackOff");
    expect(main(crash)?.state?.waiting?.message).toMatch(/^back-off \S+ restarting failed container=main pod=crash_/);
    expect(main(crash)?.lastState?.terminated).toMatchObject({ exitCode: 1, reason: "Error" });
    expect(await log("crash", { previous: "true" })).toContain("ERROR cannot load the plugin");
    await when("crash", (of) => (main(of)?.restartCount ?? 0) >= 3);
  });

  it("goes on when the API server was away", async () => {
    await cluster.apiServer.restart();
    await create("afterwards", {});
    await when("afterwards", isReady, 20_000);
  });
});
