import type { Driver } from "../../src/drivers/driver.ts";
import { type DriverKind, kinds, secrets } from "../../src/edges/kubernetes/kinds.ts";
import { label } from "../../src/edges/kubernetes/labels.ts";
import type { Pod, Stored } from "../../src/edges/kubernetes/objects.ts";
import { pods } from "../support/kube/access.ts";
import { startKubeCluster } from "../support/kube/cluster.ts";
import { startNodeAgent } from "../support/kube/node-agent.ts";
import { startOperator } from "../support/kube/operators.ts";
import { podProfile } from "../support/kube/pod-profile.ts";
import { runtimeWorld } from "../support/kube/runtime-world.ts";
import { testTools } from "../support/tools.ts";
import { driverRuntimeContract, type RuntimeHarness } from "./driver-runtime.contract.ts";

const namespace = "contract";

driverRuntimeContract("plain pods", () => harnessOf("pod"));
driverRuntimeContract("kubeflow's SparkApplication", () => harnessOf("spark-application"));
driverRuntimeContract("kubeflow's SparkConnect", () => harnessOf("spark-connect"));
driverRuntimeContract("Apache's SparkApplication", () => harnessOf("apache-spark-application"));

async function harnessOf(kind: DriverKind): Promise<RuntimeHarness> {
  const tools = await testTools();
  const cluster = await startKubeCluster();
  const { admin } = cluster;
  const agent = await startNodeAgent({ admin, tools });
  const operator = kind === "pod" ? undefined : await startOperator(kind, { admin });
  // Operators hand the number on to spark-submit, which takes none below one.
  const profile = { ...podProfile, kind, executorInstances: kind === "pod" ? 0 : 1 };
  const profiles = { default: profile, broken: { ...profile, sparkConf: { "spark.plugins": "no.such.Plugin" } } };
  const world = await runtimeWorld(cluster, { namespaces: [namespace], more: { profiles } });
  const isOf = ({ uid }: Driver, { metadata }: Stored<Pod>) =>
    metadata.uid === uid || metadata.ownerReferences?.some((owner) => owner.uid === uid) === true;
  return {
    open: () => world.open(),
    cluster: "local",
    profile: "default",
    brokenProfile: { name: "broken", cause: /no\.such\.Plugin/ },
    failureMemoryMs: world.options.failureMemoryMs,
    noticeMs: 2_000,
    startMs: 120_000,
    async kill(driver) {
      const pod = (await admin.list<Pod>(pods, namespace)).find((one) => isOf(driver, one));
      if (pod === undefined) throw new Error(`${driver.name} has no pod`);
      await agent.kill(pod.metadata.uid);
    },
    async leftovers(driver) {
      const collections = kind === "pod" ? [pods, secrets] : [pods, secrets, kinds[kind]];
      const lists = collections.map((of) => admin.list(of, namespace, `${label.driver}=${driver.name}`));
      const objects = (await Promise.all(lists)).flat();
      const running = agent.running().filter(({ name }) => name.startsWith(driver.name));
      return [
        ...objects.map(({ metadata }) => `${metadata.name} ${metadata.uid}`),
        ...running.map(({ pid }) => `process ${pid}`),
      ];
    },
    async dispose() {
      world.dispose();
      await operator?.stop();
      await agent.stop();
      await cluster.stop();
    },
  };
}
