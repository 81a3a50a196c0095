import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ApiError, type KubeApi } from "../../src/edges/kubernetes/api.ts";
import { collectionPath, kinds, objectPath } from "../../src/edges/kubernetes/kinds.ts";
import { createKubeApi } from "../../src/edges/kubernetes/kube-api.ts";
import type { KubeObject } from "../../src/edges/kubernetes/objects.ts";
import { listAll } from "../../src/edges/kubernetes/reflector-list.ts";
import { countingMetrics } from "../support/counting-metrics.ts";
import { grant, serviceAccountToken, serviceAccountUser } from "../support/kube/access-rights.ts";
import { type KubeCluster, startKubeCluster } from "../support/kube/cluster.ts";
import { installCrds, operatorCrds, uninstallCrds } from "../support/kube/crds.ts";
import { type Reflected, reflect } from "../support/kube/reflected.ts";
import { until } from "../support/until.ts";

// Against a real API server: what of it a fake would only repeat as we believe it to be.

const namespace = "kube-api";
const configMaps = { apiVersion: "v1", plural: "configmaps" };
const path = collectionPath(configMaps, namespace);
const own = { labelSelector: "test=yes" };
const never = new AbortController().signal;
let cluster: KubeCluster;
const endings: (() => unknown)[] = [];

beforeAll(async () => {
  cluster = await startKubeCluster({ crds: [] });
  await cluster.admin.createNamespace(namespace);
}, 1_800_000);
afterAll(async () => {
  await cluster?.stop();
});
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  await cluster.admin.request("DELETE", path, { query: own });
});

function open(kubeconfigFile = cluster.adminKubeconfig, requestTimeoutMs = 5_000) {
  const metrics = countingMetrics();
  const api = createKubeApi({ kubeconfigFile, requestTimeoutMs, metrics });
  endings.push(() => api.close());
  return { api, metrics };
}

function reflectMaps(api: KubeApi, options: Partial<Parameters<typeof reflect>[1]> = {}): Reflected {
  const reflected = reflect(api, { path, resource: "configmaps", ...own, ...options });
  endings.push(async () => await reflected.stop());
  return reflected;
}

const map = (name: string, data: Record<string, string> = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace, labels: { test: "yes" } },
  data,
});
const make = async (...names: string[]) => {
  for (const name of names) await cluster.admin.create(configMaps, map(name));
};
const refusalOf = async (work: Promise<unknown>): Promise<ApiError> => {
  const error = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
};
/** Everything before now is forgotten by etcd, and by the API server, which begins with what is there now. */
async function compact(): Promise<void> {
  const { metadata } = await cluster.admin.request<{ metadata: { resourceVersion: string } }>("GET", path);
  const body = JSON.stringify({ revision: metadata.resourceVersion, physical: true });
  const answer = await fetch(`${cluster.etcdUrl}/v3/kv/compaction`, { method: "POST", body });
  expect(answer.status).toBe(200);
  await cluster.apiServer.kill9();
  await cluster.apiServer.start();
}

describe("requests", () => {
  it("create, read, update, patch, list and delete", async () => {
    const { api, metrics } = open();
    const one = objectPath(configMaps, namespace, "one");
    const created = await api.call<KubeObject>({ method: "POST", path, body: map("one", { a: "ä€😀" }) });
    const stale = { ...map("one"), metadata: { ...created.metadata, resourceVersion: "1" } };
    expect(await refusalOf(api.call({ method: "PUT", path: one, body: stale }))).toMatchObject({
      status: 409,
      reason: "Conflict",
    });
    await api.call({ method: "PUT", path: one, body: { ...created, data: { b: "2" } } });
    await api.call({ method: "PATCH", path: one, body: { data: { c: "3", b: null } } });
    await api.call({ method: "PATCH", path: one, patch: "json", body: [{ op: "add", path: "/data/d", value: "4" }] });
    expect(await api.call({ method: "GET", path: one })).toMatchObject({ data: { c: "3", d: "4" } });
    const preconditions = { uid: "00000000-0000-0000-0000-000000000000" };
    expect(await refusalOf(api.call({ method: "DELETE", path: one, body: { preconditions } }))).toMatchObject({
      status: 409,
    });
    await api.call({ method: "DELETE", path: one, body: { preconditions: { uid: created.metadata.uid } } });
    expect(await refusalOf(api.call({ method: "GET", path: one }))).toMatchObject({ status: 404, reason: "NotFound" });
    const count = (verb: string, code: string) =>
      metrics.value("gatehouse_kubernetes_requests_total", { verb, resource: "configmaps", code });
    expect([count("create", "201"), count("update", "409"), count("patch", "200"), count("get", "404")]).toEqual([
      1, 1, 2, 1,
    ]);
  });

  it("are refused in Kubernetes' own words, also where the body is none of Kubernetes'", async () => {
    const { api } = open();
    await make("twice");
    expect(await refusalOf(api.call({ method: "POST", path, body: map("twice") }))).toMatchObject({
      status: 409,
      reason: "AlreadyExists",
    });
    expect(await refusalOf(api.call({ method: "POST", path, body: map("No Name") }))).toMatchObject({
      status: 422,
      reason: "Invalid",
    });
    expect(await refusalOf(api.call({ method: "GET", path: "/apis/nothing.example/v1/things" }))).toMatchObject({
      status: 404,
    });
  });

  it("with a refused credential say so, and not what it was", async () => {
    const error = await refusalOf(open(cluster.kubeconfigFor("a-wrong-token")).api.call({ method: "GET", path }));
    expect(error).toMatchObject({ status: 401, reason: "Unauthorized" });
    expect(String(error.stack)).not.toContain("a-wrong-token");
  });

  it("without a usable configuration have no answer", async () => {
    const error = await refusalOf(open("/nowhere/kubeconfig").api.call({ method: "GET", path }));
    expect(error).toMatchObject({ status: 0, reason: "NoAnswer" });
  });

  it("end when they are given up", async () => {
    const { api } = open();
    const gone = AbortSignal.abort();
    expect(await refusalOf(api.call({ method: "GET", path, signal: gone }))).toMatchObject({ status: 0 });
  });

  it("go on beside many watches", async () => {
    const { api } = open();
    const all = Array.from({ length: 40 }, () => reflectMaps(api));
    await until(() => all.every((each) => each.state().kind === "live"));
    await api.call({ method: "POST", path, body: map("beside") });
    await until(() => all.every((each) => each.known.has("beside")));
  });
});

describe("a collection", () => {
  it("is read in pages, then followed", async () => {
    await make("a", "b", "c", "d", "e");
    const { api, metrics } = open();
    const maps = reflectMaps(api, { pageSize: 2 });
    await maps.when("live");
    expect([...maps.known.keys()]).toEqual(["a", "b", "c", "d", "e"]);
    expect(metrics.value("gatehouse_kubernetes_requests_total", { verb: "list", code: "200" })).toBe(3);
    await make("f");
    await cluster.admin.patch(configMaps, namespace, "a", { data: { x: "😀".repeat(100_000) } });
    await cluster.admin.delete(configMaps, namespace, "b");
    await until(() => maps.known.has("f") && !maps.known.has("b"));
    const { metadata } = await cluster.admin.get(configMaps, namespace, "a");
    expect(maps.known.get("a")).toBe(metadata.resourceVersion);
    expect(maps.lists).toBe(1);
  });

  it("is listed in one piece where the server forgot the list's place", async () => {
    await make("a", "b", "c");
    const { api } = open();
    let asked = 0;
    const slow: KubeApi = {
      ...api,
      async call(call) {
        asked += 1;
        if (asked === 2) {
          await make("d");
          await compact();
        }
        return await api.call(call);
      },
    };
    const { items } = await listAll(slow, path, { ...own, fieldSelector: undefined }, 2, never);
    expect(items.map(({ metadata }) => metadata.name)).toEqual(["a", "b", "c", "d"]);
    expect(asked).toBe(3);
  });

  it("is heard of by bookmarks while nothing changes, and goes on from them", { timeout: 40_000 }, async () => {
    await make("quiet");
    const { api } = open();
    // The server sends one about two seconds before it ends a watch.
    const short: KubeApi = {
      ...api,
      watch: async (call) => await api.watch({ ...call, query: { ...call.query, timeoutSeconds: 4 } }),
    };
    const maps = reflectMaps(short);
    await maps.when("live");
    const listed = maps.state().lastHeard;
    await cluster.admin.create(configMaps, { ...map("foreign"), metadata: { name: "foreign", namespace } });
    await until(() => maps.state().lastHeard > listed);
    await until(() => maps.state().lastHeard > listed + 6_000, { deadlineMs: 20_000 });
    expect(maps).toMatchObject({ lists: 1, states: ["live"] });
    await cluster.admin.delete(configMaps, namespace, "foreign");
  });

  it("is begun anew where the watch is silent", async () => {
    const { api } = open();
    const deaf: KubeApi = {
      ...api,
      watch: async (call) => await api.watch({ ...call, onEvent: () => undefined }),
    };
    const maps = reflectMaps(deaf, { staleAfterMs: 500 });
    await maps.when("live");
    await make("unheard");
    await until(() => maps.known.has("unheard"));
    expect(maps.metrics.value("gatehouse_kubernetes_relists_total", { cause: "silent" })).toBeGreaterThan(0);
  });

  it("is noticed when its CRD is installed, and kept when that is removed", { timeout: 60_000 }, async () => {
    const kind = kinds["spark-connect"];
    const crd = operatorCrds.filter(({ spec }) => spec.names.plural === kind.plural);
    const { api } = open();
    const connects = reflectMaps(api, {
      path: collectionPath(kind, undefined),
      resource: kind.plural,
      labelSelector: "",
    });
    await connects.when("absent");
    await installCrds(cluster.admin, crd);
    await cluster.admin.create(kind, {
      apiVersion: kind.apiVersion,
      kind: kind.kind,
      metadata: { name: "late", namespace },
      spec: { sparkVersion: "4.1.0", server: {}, executor: {} },
    });
    await connects.when("live", 15_000);
    expect([...connects.known.keys()]).toEqual(["late"]);
    await uninstallCrds(cluster.admin, crd);
    await connects.when("absent", 30_000);
    expect([...connects.known.keys()]).toEqual([]);
  });

  it("that may not be read is tried until it may", async () => {
    const token = await serviceAccountToken(cluster.admin, namespace, "reader");
    await make("a");
    const maps = reflectMaps(open(cluster.kubeconfigFor(token)).api);
    await maps.when("forbidden");
    expect(maps.state().message).toMatch(/configmaps is forbidden: User .* cannot list resource/);
    const user = serviceAccountUser(namespace, "reader");
    await grant(cluster.admin, "read-maps", {
      user,
      namespace,
      rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["list", "watch"] }],
    });
    await maps.when("live");
    expect([...maps.known.keys()]).toEqual(["a"]);
  });
});

describe("a server in trouble", () => {
  it("that is killed and comes back is followed from where we were", { timeout: 90_000 }, async () => {
    await make("a");
    const { api } = open();
    const maps = reflectMaps(api);
    await maps.when("live");
    await make("b");
    await until(() => maps.known.has("b"));
    await cluster.apiServer.kill9();
    await maps.when("away");
    expect(maps.state().message).toMatch(/^no answer from the API server \((ECONNRESET|ECONNREFUSED)\)$/);
    expect([...maps.known.keys()]).toEqual(["a", "b"]);
    expect(await refusalOf(api.call({ method: "GET", path }))).toMatchObject({ status: 0, reason: "NoAnswer" });
    await cluster.apiServer.start();
    await maps.when("live", 40_000);
    await make("c");
    await until(() => maps.known.has("c"));
    expect([...maps.known.keys()]).toEqual(["a", "b", "c"]);
  });

  it("that has forgotten our version makes us list anew", { timeout: 90_000 }, async () => {
    await make("a");
    const maps = reflectMaps(open().api);
    await maps.when("live");
    // Not of our selection: our version stays behind.
    const foreign = { name: "foreign", namespace };
    await cluster.admin.create(configMaps, { ...map("foreign"), metadata: foreign });
    await cluster.admin.delete(configMaps, namespace, "foreign");
    await compact();
    await until(() => maps.lists === 2, { deadlineMs: 40_000 });
    await maps.when("live");
    expect(maps.metrics.value("gatehouse_kubernetes_relists_total", { cause: "expired" })).toBe(1);
    expect([...maps.known.keys()]).toEqual(["a"]);
  });

  it("that stands still is noticed by the time limit, and used again when it goes on", {
    timeout: 60_000,
  }, async () => {
    await make("a");
    const { api } = open(cluster.adminKubeconfig, 1_000);
    const maps = reflectMaps(api, { staleAfterMs: 1_500 });
    await maps.when("live");
    cluster.apiServer.pause();
    try {
      const begun = performance.now();
      expect(await refusalOf(api.call({ method: "GET", path }))).toMatchObject({
        status: 0,
        message: "no answer from the API server within 1000 ms",
      });
      expect(performance.now() - begun).toBeLessThan(3_000);
      await maps.when("away");
      expect([...maps.known.keys()]).toEqual(["a"]);
    } finally {
      cluster.apiServer.resume();
    }
    await maps.when("live", 40_000);
    await make("b");
    await until(() => maps.known.has("b"));
  });
});
