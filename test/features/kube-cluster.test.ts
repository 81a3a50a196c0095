import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { portIsFree } from "../../deploy/local/ports.ts";
import { kinds } from "../../src/edges/kubernetes/kinds.ts";
import type { DriverResource, Pod, Stored } from "../../src/edges/kubernetes/objects.ts";
import { kubeAdmin, namespaces, pods } from "../support/kube/access.ts";
import { grant, mayDo, serviceAccountToken, serviceAccountUser } from "../support/kube/access-rights.ts";
import { type KubeCluster, startKubeCluster } from "../support/kube/cluster.ts";
import { installCrds, operatorCrds, uninstallCrds } from "../support/kube/crds.ts";
import { isRunning } from "../support/processes.ts";
import { until } from "../support/until.ts";

// That the API server of our tests is a real one: what the other tests build on.

const namespace = "spark-test";
const application = kinds["spark-application"];
let cluster: KubeCluster;

beforeAll(async () => {
  cluster = await startKubeCluster();
  await cluster.admin.createNamespace(namespace);
}, 1_800_000);

afterAll(async () => {
  await cluster?.stop();
});

function sparkApplication(name: string, spec: object = {}): DriverResource {
  return {
    apiVersion: application.apiVersion,
    kind: application.kind,
    metadata: { name, namespace },
    spec: {
      type: "Scala",
      mode: "cluster",
      sparkVersion: "4.1.0",
      mainApplicationFile: "local:///x.jar",
      driver: {},
      executor: {},
      ...spec,
    },
  };
}

function pod(name: string, owner?: Stored<DriverResource>): Pod {
  const { apiVersion, kind } = application;
  const owned = owner && [{ apiVersion, kind, name: owner.metadata.name, uid: owner.metadata.uid, controller: true }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, ...(owned === undefined ? {} : { ownerReferences: owned }) },
    spec: { containers: [{ name: "main", image: "none", resources: { requests: { cpu: "1" } } }] },
  };
}

describe("the operators' kinds", () => {
  test("objects are made, and their state is changed through the status subresource only", async () => {
    const { admin } = cluster;
    const { metadata } = await admin.create(application, sparkApplication("a"));
    const state = (value: string) => ({ status: { applicationState: { state: value }, driverInfo: { podName: "p" } } });
    await admin.patch(application, namespace, "a", state("RUNNING"), "status");
    await admin.patch(application, namespace, "a", { ...state("FAILED"), metadata: { labels: { x: "y" } } });
    const found = await admin.get<DriverResource>(application, namespace, "a");
    expect(found.status?.["applicationState"]).toEqual({ state: "RUNNING" });
    expect(found.metadata).toMatchObject({ uid: metadata.uid, labels: { x: "y" } });
  });

  test("refusals say status and reason", async () => {
    const { admin } = cluster;
    await admin.create(application, sparkApplication("twice"));
    await expect(admin.create(application, sparkApplication("twice"))).rejects.toMatchObject({
      status: 409,
      reason: "AlreadyExists",
    });
    await expect(admin.create(application, sparkApplication("bad", { type: "Cobol" }))).rejects.toMatchObject({
      status: 422,
      reason: "Invalid",
    });
    await expect(admin.get(application, namespace, "none")).rejects.toMatchObject({ status: 404, reason: "NotFound" });
    expect(await admin.find(application, namespace, "none")).toBeUndefined();
  });

  test("fields that the operator does not know are dropped", async () => {
    const { spec } = await cluster.admin.create(
      application,
      sparkApplication("odd", { driver: { cores: 1, cpus: 2 } }),
    );
    expect(spec?.["driver"]).toEqual({ cores: 1 });
  });

  test("all of them are served, and can be taken away and brought back", async () => {
    const { admin } = cluster;
    const connect = operatorCrds.filter((one) => one.spec.names.kind === kinds["spark-connect"].kind);
    expect(await admin.list(kinds["spark-connect"])).toEqual([]);
    expect(await admin.list(kinds["apache-spark-application"])).toEqual([]);
    await uninstallCrds(admin, connect);
    await until(
      async () =>
        await admin.list(kinds["spark-connect"]).then(
          () => false,
          () => true,
        ),
    );
    await installCrds(admin, connect);
    expect(await admin.list(kinds["spark-connect"])).toEqual([]);
  });
});

test("a ServiceAccount's token has the rights that were given, and no others", async () => {
  const { admin, url, caPem } = cluster;
  const token = await serviceAccountToken(admin, namespace, "reader");
  const user = serviceAccountUser(namespace, "reader");
  const rules = [{ apiGroups: [""], resources: ["pods"], verbs: ["get", "list"] }];
  await grant(admin, "reader", { user, namespace, rules });
  const reader = kubeAdmin({ url, caPem, token });
  await until(
    async () =>
      await reader.list(pods, namespace).then(
        () => true,
        () => false,
      ),
  );
  await expect(reader.create(pods, pod("forbidden"))).rejects.toMatchObject({ status: 403, reason: "Forbidden" });
  await expect(reader.list(pods)).rejects.toMatchObject({ status: 403 });
  expect(await mayDo(admin, user, { verb: "list", resource: "pods", namespace })).toBe(true);
  expect(await mayDo(admin, user, { verb: "delete", resource: "pods", namespace })).toBe(false);
  reader.close();
  const unknown = kubeAdmin({ url, caPem, token: "nonsense" });
  await expect(unknown.list(pods, namespace)).rejects.toMatchObject({ status: 401 });
  unknown.close();
  expect(await cluster.kubectl(["--kubeconfig", cluster.kubeconfigFor(token), "auth", "whoami", "-o", "name"])).toEqual(
    expect.objectContaining({ code: 0 }),
  );
});

test("what an object owns goes with it, and so does what a namespace holds", async () => {
  const { admin } = cluster;
  const owner = await admin.create(application, sparkApplication("owner"));
  await admin.create(pods, pod("owned", owner));
  await admin.create(pods, pod("free"));
  await admin.delete(application, namespace, "owner", { propagationPolicy: "Background" });
  await admin.gone(pods, namespace, "owned");
  expect(await admin.find(pods, namespace, "free")).toBeDefined();
  await admin.createNamespace("short-lived");
  await admin.create(pods, { ...pod("held"), metadata: { name: "held", namespace: "short-lived" } });
  await admin.deleteNamespace("short-lived");
  await admin.gone(namespaces, undefined, "short-lived");
});

test("a quota refuses what is too much", async () => {
  const { admin } = cluster;
  await admin.createNamespace("small");
  const quotas = { apiVersion: "v1", plural: "resourcequotas" };
  const quota = { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "one", namespace: "small" } };
  await admin.apply(quotas, { ...quota, spec: { hard: { pods: "1" } } });
  const counted = async () => {
    const found = await admin.get<typeof quota & { status?: { hard?: { pods?: string } } }>(quotas, "small", "one");
    return found.status?.hard?.pods === "1";
  };
  await until(counted, { what: "the quota is counted" });
  const inSmall = (name: string): Pod => ({ ...pod(name), metadata: { name, namespace: "small" } });
  await admin.create(pods, inSmall("first"));
  await expect(admin.create(pods, inSmall("second"))).rejects.toThrow(/403.*exceeded quota: one/);
});

test("the API server can be held still, killed and started again; what it stored stays", async () => {
  const { admin, apiServer, port } = cluster;
  await admin.create(pods, pod("stays"));
  apiServer.pause();
  const late = admin.get<Pod>(pods, namespace, "stays");
  apiServer.resume();
  const { uid } = (await late).metadata;
  const { pid } = apiServer;
  await apiServer.kill9();
  await expect(admin.get(pods, namespace, "stays")).rejects.toMatchObject({ status: 0, reason: "NoAnswer" });
  await apiServer.start();
  expect(apiServer.pid).not.toBe(pid);
  expect((await admin.get(pods, namespace, "stays")).metadata.uid).toBe(uid);
  expect(cluster.port).toBe(port);
});

test("kubectl is the admin's", async () => {
  const applied = await cluster.kubectl(["apply", "-f", "-"], JSON.stringify(sparkApplication("by-kubectl")));
  expect(applied).toMatchObject({ code: 0, stderr: "" });
  expect((await cluster.kubectl(["get", "pods", "-n", namespace, "no-such"])).stderr).toContain("NotFound");
});

test("nothing is left behind by a cluster that ended, and none by one that did not come up", async () => {
  const before = { pids: [cluster.etcd, cluster.apiServer, cluster.controllerManager].map(({ pid }) => pid) };
  const folder = dirname(cluster.adminKubeconfig);
  await cluster.stop();
  await cluster.stop();
  expect(before.pids.filter(isRunning)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
  expect(await portIsFree(cluster.port)).toBe(true);
  await expect(startKubeCluster({ apiServerArgs: ["--no-such-flag"] })).rejects.toThrow(
    /kube-apiserver ended.*no-such-flag/s,
  );
});
