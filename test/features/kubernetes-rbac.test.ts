import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DriverKind, kinds } from "../../src/edges/kubernetes/kinds.ts";
import { type KubeCluster, startKubeCluster } from "../support/kube/cluster.ts";
import { type LogEndpoint, startLogEndpoint } from "../support/kube/kubelet-logs.ts";
import { registerNode } from "../support/kube/node-agent-node.ts";
import { type Check, checksFor, lastLine, otherChecks } from "../support/kube/rules-checks.ts";
import { type GivenRules, givenRules, type Right } from "../support/kube/rules-given.ts";
import { type TrialWorld, trialWorld } from "../support/kube/rules-trial.ts";

// Each right that the chart gives Gatehouse is needed, and together they are enough: what it does on Kubernetes, done under
// the chart's own ServiceAccount, then with one right after the other taken away.

const requests = "gatehouse_kubernetes_requests_total";
/** How long to wait for what must come, and for what will not come without ever being refused to the caller. ms */
const [enough, short] = [10_000, 1_500];
const isSilent = ({ resource, verb }: Right): boolean =>
  verb === "watch" || ["leases", "events"].includes(resource) || (resource === "secrets" && verb === "list");

let cluster: KubeCluster;
let logs: LogEndpoint;
const folder = mkdtempSync(join(tmpdir(), "gatehouse-rbac-"));

beforeAll(async () => {
  // Nobody else collects what is left: Gatehouse must.
  cluster = await startKubeCluster({
    controllers: ["root-ca-certificate-publisher-controller", "serviceaccount-controller"],
  });
  const file = join(folder, "pod.log");
  writeFileSync(file, `starting\n${lastLine}\n`);
  logs = await startLogEndpoint(folder, () => ({ file }));
  await registerNode(cluster.admin, { name: "paper", labels: {}, kubeletPort: logs.port });
}, 1_800_000);

afterAll(async () => {
  await logs?.close();
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What goes wrong without a verb on the resource of a kind. */
const ofDrivers: Readonly<Record<string, string>> = {
  get: "records, also over what changed meanwhile",
  list: "knows those that are there",
  watch: "sees those that come",
  create: "starts them",
  patch: "records, also over what changed meanwhile",
  delete: "stops them",
};

describe.each(["every-kind", "cluster-wide"])("the rights of the example %s", (example) => {
  const given = givenRules(example);
  const checks = checksOf(given);
  let world: TrialWorld;

  beforeAll(async () => {
    const there = async (name: string) =>
      await cluster.admin.find({ apiVersion: "v1", plural: "namespaces" }, undefined, name);
    for (const name of [given.home, given.namespace]) {
      if ((await there(name)) === undefined) await cluster.admin.createNamespace(name);
    }
    await given.apply(cluster.admin);
    world = await trialWorld(cluster, given);
  });

  afterAll(async () => {
    await world?.close();
    await given.remove(cluster.admin);
  });

  it.each([...checks.keys()])("are enough: %s", async (name) => {
    const metrics = await world.run(find(name), enough);
    const refused = metrics.value(requests, { code: "403" });
    // Kinds that no profile makes are asked for, in case there are some.
    if (given.kinds.length === Object.keys(kinds).length) expect(refused).toBe(0);
  });

  it.each(given.rights.map((right) => ({ right, needed: neededFor(right, given) })))(
    "$right.name is needed: $needed",
    async ({ right, needed }) => {
      const giveBack = await given.takeAway(cluster.admin, right);
      let refused = 0;
      try {
        const failed = await world.run(
          async (trial) => {
            await expect(find(needed)(trial)).rejects.toThrow();
          },
          isSilent(right) ? short : enough,
        );
        refused = failed.value(requests, { verb: right.verb, resource: right.resource, code: "403" });
      } finally {
        await giveBack();
      }
      expect(refused).toBeGreaterThan(0);
    },
  );

  function find(name: string): Check {
    const found = checks.get(name);
    if (found === undefined) throw new Error(`there is no check "${name}"`);
    return found;
  }
});

/** All checks for what these rights are about. */
function checksOf({ kinds: used }: GivenRules): ReadonlyMap<string, Check> {
  const [some = "pod"] = used.toReversed();
  const groups = {
    ...Object.fromEntries([...used, "discovered" as const].map((source) => [source, checksFor(source)])),
    ...otherChecks(some),
  };
  return new Map(
    Object.entries(groups).flatMap(([group, all]) =>
      Object.entries(all).map(([name, check]) => [`${group}: ${name}`, check] as const),
    ),
  );
}

const needs: Readonly<Record<string, string>> = {
  "secrets get": "tokens: removes them, also what changed meanwhile",
  "secrets list": "tokens: knows those that are there",
  "secrets watch": "tokens: sees those that come",
  "secrets delete": "tokens: removes them, also what changed meanwhile",
  "events list": "causes: tells what events say",
  "pods/log get": "causes: tells the last lines",
  "leases.coordination.k8s.io get": "elections: leads after another",
  "leases.coordination.k8s.io update": "elections: leads after another",
  "leases.coordination.k8s.io create": "elections: leads where nobody did before",
};

function neededFor({ name, group, resource, verb }: Right, { kinds: used }: GivenRules): string {
  if (name === "secrets create") return `${used.at(-1) ?? "pod"}: starts them`;
  const found = needs[name];
  if (found !== undefined) return found;
  const kind = (Object.keys(kinds) as DriverKind[]).find(
    (each) => kinds[each].group === group && kinds[each].plural === resource,
  );
  if (kind === undefined || ofDrivers[verb] === undefined) return `nothing that is known needs ${name}`;
  return `${kind === "pod" && verb !== "create" ? "discovered" : kind}: ${ofDrivers[verb]}`;
}
