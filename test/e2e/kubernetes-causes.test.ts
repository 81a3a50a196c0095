import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DriverRecord } from "../../src/decisions/audit.ts";
import type { DriverKind } from "../../src/edges/kubernetes/kinds.ts";
import { annotation, label } from "../../src/edges/kubernetes/labels.ts";
import type { Secret } from "../../src/edges/kubernetes/objects.ts";
import { pods } from "../support/kube/access.ts";
import { grant, serviceAccountUser } from "../support/kube/access-rights.ts";
import { exhaustQuota, forbidPods } from "../support/kube/broken-starts.ts";
import { nothingLeft, secrets } from "../support/kube/driver-parts.ts";
import { type Operator, startOperator } from "../support/kube/operators.ts";
import { type KubeWorld, startKubeWorld } from "../support/kube/world.ts";
import type { StepLine } from "../support/pyspark.ts";
import type { Stack } from "../support/stack.ts";

interface Case {
  readonly kind?: DriverKind;
  readonly image?: string;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  /** What PySpark prints in the first line. */
  readonly text: RegExp;
  /** Whether the last lines of the driver's log follow. */
  readonly log?: true;
}

const crashed = "cannot load the plugin";

/** Each in a namespace, with a profile, of its name. */
const cases: Readonly<Record<string, Case>> = {
  quota: {
    text: /^the namespace's quota is used up \(.*requests\.memory.*\); stop a driver, ask for less, or have the quota raised$/,
  },
  "operator-quota": {
    kind: "spark-application",
    text: /^the application could not be submitted \((SUBMISSION_)?FAILED\): .*exceeded quota: team, requested: requests\.memory=/,
  },
  // Of this the operator says nothing.
  "connect-quota": {
    kind: "spark-connect",
    text: /^the namespace's quota is used up \(.*requests\.memory.*\); stop a driver, ask for less, or have the quota raised$/,
  },
  policy: {
    text: /^the cluster's admission policy "approved-images" refused the driver: only images of registry\.example are approved$/,
  },
  unschedulable: {
    nodeSelector: { pool: "no-such-pool" },
    text: /^no node can take the driver's pod: 0\/1 nodes are available: .*node affinity\/selector.*; ask for fewer cores or less memory, or add nodes$/,
  },
  image: {
    image: "registry.example/no-such-image:1",
    text: /^the image "registry\.example\/no-such-image:1" cannot be pulled \(ImagePullBackOff\): .*not found; correct the image or its pull secret$/,
  },
  crash: {
    image: "registry.example/crash:1",
    log: true,
    text: /^the driver ended with exit code 1: ERROR cannot load the plugin$/,
  },
  loop: {
    kind: "spark-connect",
    image: "registry.example/crash:1",
    log: true,
    text: /^the driver ended again and again \(CrashLoopBackOff\) with exit code 1: ERROR cannot load the plugin$/,
  },
  memory: {
    image: "registry.example/oom:1",
    log: true,
    text: /^the driver used more memory than its pod may have and was killed \(OOMKilled, exit code 137\); give it more memory or overhead$/,
  },
  "no-operator": {
    kind: "apache-spark-application",
    text: /^the operator's CRD is not installed in this cluster \(or not in this version\): install the operator, or use kind: pod$/,
  },
  nowhere: {
    kind: "spark-connect",
    text: /^the namespace "nowhere" does not exist: create it, or use another one$/,
  },
  forbidden: { text: /^Gatehouse may not create pods in namespace "forbidden": add that to its Role \(RBAC\)$/ },
  outside: { text: /^this Gatehouse starts no drivers in the namespace "outside"$/ },
};
const operatorError: Case = {
  kind: "spark-application",
  text: /^the application could not be submitted \((SUBMISSION_)?FAILED\): .*the batch scheduler is away$/,
};
/** Nobody may start drivers there; what is there was made by somebody else. */
const theirs = "theirs";
const withRights = [
  ...Object.keys(cases).filter((name) => !["nowhere", "forbidden", "outside"].includes(name)),
  "operator",
];

let world: KubeWorld;
let stack: Stack;
let kubeflow: Operator;
const operators: Operator[] = [];

beforeAll(async () => {
  world = await startKubeWorld({ driverNamespaces: [...withRights, theirs] });
  const { admin } = world.cluster;
  kubeflow = await startOperator("spark-application", { admin });
  operators.push(kubeflow, await startOperator("spark-connect", { admin }));
  const definitions = { apiVersion: "apiextensions.k8s.io/v1", plural: "customresourcedefinitions" };
  await admin.delete(definitions, undefined, "sparkapplications.spark.apache.org");
  await admin.gone(definitions, undefined, "sparkapplications.spark.apache.org");
  await admin.createNamespace("forbidden");
  // Whoever has rights in a single namespace is told of one that is absent only that it has no rights there.
  const rules = [{ apiGroups: ["sparkoperator.k8s.io"], resources: ["sparkconnects"], verbs: ["create"] }];
  const user = serviceAccountUser(world.homeNamespace, "gatehouse");
  await grant(admin, "gatehouse-everywhere", { user, namespace: undefined, rules });
  for (const name of ["quota", "operator-quota", "connect-quota"]) await exhaustQuota({ admin }, name);
  await forbidPods({ admin }, "policy");
  await admin.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "crashing",
      namespace: theirs,
      labels: { [label.discover]: "true" },
      annotations: { [annotation.owner]: "alice@local", [annotation.profile]: "open" },
    },
    spec: { containers: [{ name: "server", image: "registry.example/crash:1" }] },
  });
  stack = await world.replica({ config: config() });
});

afterAll(async () => {
  for (const operator of operators) await operator.stop();
  await world?.stop();
});

function config() {
  const all = { ...cases, operator: operatorError };
  const profiles = Object.entries(all).map(([name, { kind = "pod", image, nodeSelector = {} }]) => {
    const onDemand = { executor_instances: kind === "pod" ? 0 : 1, ...(image && { image }) };
    return [name, { on_demand: onDemand, kubernetes: { kind, driver: { node_selector: nodeSelector } } }] as const;
  });
  const creation = Object.keys(all).map((name) => ({
    who: { teams: ["analytics"] },
    namespaces: [name],
    profile: name,
  }));
  return {
    profiles: { ...Object.fromEntries(profiles), open: { allow_tokenless: true } },
    policy: { creation },
    hold: { max_per_user: 32, failure_memory_seconds: 12 },
    runtime: {
      kubernetes: { namespaces: [...withRights, theirs, "nowhere", "forbidden"], unschedulable_grace_seconds: 2 },
    },
  };
}

interface Seen {
  readonly rows?: number;
  readonly text?: string;
}

/** What a stock client prints for one query on each of these sessions, all at once. */
async function tried(
  user: string,
  sessions: readonly string[],
): Promise<ReadonlyMap<string, StepLine & { result: Seen }>> {
  const urls = sessions.map(async (session) => [session, await stack.url({ user, session })] as const);
  const env = { GATEHOUSE_URLS: JSON.stringify(Object.fromEntries(await Promise.all(urls))) };
  const run = await stack.pyspark("at_once.py", { user, token: "none", env });
  const done = await run.done;
  return new Map(done.lines.map((line) => [line.step, line as StepLine & { result: Seen }]));
}

const driverRecords = async (session: string, action: DriverRecord["action"]): Promise<readonly DriverRecord[]> =>
  (await stack.audit()).flatMap((each) =>
    each.kind === "driver" && each.session === session && each.action === action ? [each] : [],
  );

async function allTexts(): Promise<string> {
  return [await stack.gatehouse.log(), await stack.envoy.log(), JSON.stringify(await stack.audit())].join("\n");
}

describe("a start that fails", () => {
  const tokens = new Set<string>();
  let ofAlice: Awaited<ReturnType<typeof tried>>;
  const sessions = [...Object.keys(cases).map((name) => `${name}.app`), `${theirs}.crashing`];

  test("has its cause in one line of PySpark's, within seconds", async () => {
    const over = new AbortController();
    const collect = async () => {
      while (!over.signal.aborted) {
        const found = await world.cluster.admin.list<Secret>(secrets, undefined, `${label.installation}=gatehouse`);
        for (const { data } of found) tokens.add(Buffer.from(data?.["token"] ?? "", "base64").toString("utf8"));
      }
    };
    const collecting = collect();
    ofAlice = await tried("alice", sessions).finally(() => over.abort());
    await collecting;
    process.stderr.write(`${[...ofAlice].map(([name, { seconds }]) => `${name} ${seconds} s`).join(", ")}\n`);
    const crashing: Case = { text: cases["loop"]!.text, log: true };
    const expected = Object.fromEntries(Object.entries(cases).map(([name, each]) => [`${name}.app`, each]));
    for (const [session, { text, log }] of Object.entries({ ...expected, [`${theirs}.crashing`]: crashing })) {
      const seen = ofAlice.get(session);
      const [first = "", ...more] = (seen?.result.text ?? "").replace("(DRIVER_FAILED) ", "").split("\n");
      expect.soft(first, session).toMatch(text);
      expect.soft(first.length, session).toBeLessThanOrEqual(500);
      expect.soft(more.length > 0, `${session}: ${more.join(" | ")}`).toBe(log === true);
      expect.soft(seen?.seconds, session).toBeLessThan(40);
    }
    const failed = await driverRecords("crash/app", "failed");
    expect(failed).toMatchObject([{ reason: "start_failed", owner: "alice@local" }]);
    expect(failed[0]?.message).toContain(crashed);
  });

  test("is nobody else's to read about, and tells no token", async () => {
    const ofBob = await tried("bob", sessions);
    for (const [session, { result }] of ofBob) {
      expect
        .soft(result.text, session)
        .toMatch(/^\(SESSION_FORBIDDEN\) session .* does not exist or you may not use it/);
      expect.soft(result.text, session).not.toContain(crashed);
    }
    expect(ofBob.size).toBe(sessions.length);
    tokens.delete("");
    expect(tokens.size).toBeGreaterThan(3);
    const texts = [await allTexts(), JSON.stringify([...ofAlice, ...ofBob])].join("\n");
    for (const token of tokens) expect(texts).not.toContain(token);
  });

  test("leaves nothing behind", async () => {
    for (const [name, { kind = "pod" }] of Object.entries(cases)) {
      if (withRights.includes(name) && name !== "no-operator") await nothingLeft(world, kind, name);
    }
    // What somebody else made is theirs to delete.
    expect(await world.cluster.admin.find(pods, theirs, "crashing")).toBeDefined();
  });

  test("is tried anew once it is forgotten; where the cause is gone, rows come", async () => {
    const of = { apiVersion: "v1", plural: "resourcequotas" };
    await world.cluster.admin.delete(of, "quota", "team");
    await world.cluster.admin.gone(of, "quota", "team");
    kubeflow.failNext("the batch scheduler is away");
    const again = await tried("alice", ["quota.app", "crash.app", "operator.app"]);
    expect(again.get("quota.app")?.result).toEqual({ rows: 3 });
    expect(again.get("crash.app")?.result.text).toBe(ofAlice.get("crash.app")?.result.text);
    expect(again.get("operator.app")?.result.text?.replace("(DRIVER_FAILED) ", "")).toMatch(operatorError.text);
    const failed = await driverRecords("crash/app", "failed");
    expect(new Set(failed.map(({ driver_uid: uid }) => uid)).size).toBe(2);
    expect(await driverRecords("crash/app", "start")).toHaveLength(2);
  });
});
