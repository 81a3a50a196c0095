import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exampleNames, objectsOf } from "../../deploy/local/helm.ts";
import { manifestPath } from "../../deploy/local/render.ts";
import type { KubeObject } from "../../src/edges/kubernetes/objects.ts";
import { pods } from "../support/kube/access.ts";
import { mayDo, serviceAccountUser, type WantedAccess } from "../support/kube/access-rights.ts";
import { certManagerCrds } from "../support/kube/cert-manager-crds.ts";
import { type CommandAnswer, type KubeCluster, startKubeCluster } from "../support/kube/cluster.ts";
import type { Deployment } from "../support/kube/helm-objects.ts";

// That a real API server takes what the chart renders, at the strictest level of Pod Security, and what the rights in it
// are worth. cert-manager's kinds are a stand-in.

const driverNamespaces = ["sjns-data-dev", "sjns-ml-dev", "sjns-etl-prod"];
const home = "gatehouse";
let cluster: KubeCluster;

beforeAll(async () => {
  cluster = await startKubeCluster({ crds: certManagerCrds });
  const strict = Object.fromEntries(
    ["enforce", "warn"].map((mode) => [`pod-security.kubernetes.io/${mode}`, "restricted"]),
  );
  await cluster.admin.createNamespace(home, strict);
  for (const namespace of driverNamespaces) await cluster.admin.createNamespace(namespace);
}, 1_800_000);

afterAll(async () => {
  await cluster?.stop();
});

const manifest = (example: string): string => readFileSync(manifestPath(example), "utf8");

async function apply(example: string, ...more: string[]): Promise<CommandAnswer> {
  return await cluster.kubectl(["apply", "--server-side", "--validate=strict", "-f", "-", ...more], manifest(example));
}

const remove = async (example: string): Promise<CommandAnswer> =>
  await cluster.kubectl(["delete", "--ignore-not-found", "--wait=false", "-f", "-"], manifest(example));

describe.each(exampleNames())("the example %s", (name) => {
  it("is accepted whole, first as a dry run, then for good, and goes again", async () => {
    const objects = objectsOf(manifest(name));
    for (const more of [["--dry-run=server"], []]) {
      const { code, stdout, stderr } = await apply(name, ...more);
      expect(stderr).toBe("");
      expect(code).toBe(0);
      expect(stdout.trim().split("\n")).toHaveLength(objects.length);
    }
    const again = await apply(name);
    expect(again.code).toBe(0);
    const gone = await remove(name);
    expect(gone.stderr).toBe("");
    expect(gone.code).toBe(0);
  });

  it("has pods that Pod Security lets in at the level restricted", async () => {
    await apply(name);
    const deployments = objectsOf(manifest(name)).filter(({ kind }) => kind === "Deployment") as Deployment[];
    expect(deployments.length).toBeGreaterThan(0);
    for (const { metadata, spec } of deployments) {
      const pod = (change: object) => ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: metadata.name, namespace: home, labels: spec.template.metadata.labels },
        spec: { ...spec.template.spec, ...change },
      });
      const create = async (body: KubeObject) =>
        await cluster.admin.request("POST", `/api/v1/namespaces/${home}/pods`, { query: { dryRun: "All" }, body });
      await create(pod({}));
      // The level is in force: without its security context the same pod stays out.
      await expect(create(pod({ securityContext: {} }))).rejects.toThrow(/violates PodSecurity "restricted/);
    }
    expect(await cluster.admin.list(pods, home)).toEqual([]);
    await remove(name);
  });
});

describe("the rights of the example interactive", () => {
  const gatehouse = serviceAccountUser(home, "gatehouse");
  const envoy = serviceAccountUser(home, "gatehouse-envoy");
  const driver = serviceAccountUser("sjns-data-dev", "spark-driver");
  const namespace = "sjns-data-dev";

  beforeAll(async () => {
    await apply("interactive");
  });

  const may: readonly (readonly [string, () => string, WantedAccess])[] = [
    ["Gatehouse watches drivers", () => gatehouse, { verb: "watch", resource: "pods", namespace }],
    ["Gatehouse starts drivers", () => gatehouse, { verb: "create", resource: "pods", namespace }],
    ["Gatehouse makes tokens", () => gatehouse, { verb: "create", resource: "secrets", namespace }],
    ["Gatehouse reads logs", () => gatehouse, { verb: "get", resource: "pods", subresource: "log", namespace }],
    ["Gatehouse renews its Lease", () => gatehouse, lease("update", "gatehouse")],
    ["Gatehouse makes its Lease", () => gatehouse, lease("create")],
    ["a driver makes executors", () => driver, { verb: "create", resource: "pods", namespace }],
    ["a driver removes executors", () => driver, { verb: "deletecollection", resource: "pods", namespace }],
  ];
  it.each(may)("are enough: %s", async (_what, user, wanted) => {
    expect(await mayDo(cluster.admin, user(), wanted)).toBe(true);
  });

  const mayNot: readonly (readonly [string, () => string, WantedAccess])[] = [
    [
      "Gatehouse reads its own namespace's Secrets",
      () => gatehouse,
      { verb: "get", resource: "secrets", namespace: home },
    ],
    ["Gatehouse reads Secrets elsewhere", () => gatehouse, { verb: "list", resource: "secrets", namespace: "default" }],
    ["Gatehouse reads the Secrets of all", () => gatehouse, { verb: "list", resource: "secrets" }],
    ["Gatehouse changes Secrets", () => gatehouse, { verb: "update", resource: "secrets", namespace }],
    ["Gatehouse enters pods", () => gatehouse, { verb: "create", resource: "pods", subresource: "exec", namespace }],
    ["Gatehouse takes another's Lease", () => gatehouse, lease("update", "other")],
    ["Gatehouse gives rights", () => gatehouse, rbac("create", "rolebindings")],
    ["Gatehouse makes applications of a kind not in use", () => gatehouse, application("create")],
    ["Envoy reads pods", () => envoy, { verb: "list", resource: "pods", namespace }],
    ["a driver reads tokens", () => driver, { verb: "get", resource: "secrets", namespace }],
    [
      "a driver reaches another namespace",
      () => driver,
      { verb: "create", resource: "pods", namespace: "sjns-ml-dev" },
    ],
    ["a driver enters pods", () => driver, { verb: "create", resource: "pods", subresource: "exec", namespace }],
    ["a driver gives rights", () => driver, rbac("create", "rolebindings")],
  ];
  it.each(mayNot)("are not more: %s", async (_what, user, wanted) => {
    expect(await mayDo(cluster.admin, user(), wanted)).toBe(false);
  });

  function lease(verb: string, name?: string): WantedAccess {
    const group = "coordination.k8s.io";
    return { verb, group, resource: "leases", namespace: home, ...(name === undefined ? {} : { name }) };
  }
  function rbac(verb: string, resource: string): WantedAccess {
    return { verb, group: "rbac.authorization.k8s.io", resource, namespace };
  }
  function application(verb: string): WantedAccess {
    return { verb, group: "sparkoperator.k8s.io", resource: "sparkapplications", namespace };
  }
});
