import type { Driver } from "../../src/drivers/driver.ts";
import { label } from "../../src/edges/kubernetes/labels.ts";
import type { Stored } from "../../src/edges/kubernetes/objects.ts";
import { pods } from "../support/kube/access.ts";
import { startKubeCluster } from "../support/kube/cluster.ts";
import { startNodeAgent } from "../support/kube/node-agent.ts";
import { podProfile, runtimeWorld } from "../support/kube/runtime-world.ts";
import { testTools } from "../support/tools.ts";
import { driverRuntimeContract } from "./driver-runtime.contract.ts";

const namespace = "contract";
const secrets = { apiVersion: "v1", plural: "secrets" } as const;

driverRuntimeContract("plain pods of Kubernetes", async () => {
  const tools = await testTools();
  const cluster = await startKubeCluster();
  const { admin } = cluster;
  const agent = await startNodeAgent({ admin, tools });
  const profiles = {
    default: podProfile,
    broken: { ...podProfile, sparkConf: { "spark.plugins": "no.such.Plugin" } },
  };
  const world = await runtimeWorld(cluster, { namespaces: [namespace], more: { profiles } });
  const named = ({ metadata }: Stored) => `${metadata.name} ${metadata.uid}`;
  return {
    open: () => world.open(),
    cluster: "local",
    profile: "default",
    brokenProfile: { name: "broken", cause: /no\.such\.Plugin/ },
    failureMemoryMs: world.options.failureMemoryMs,
    noticeMs: 2_000,
    startMs: 120_000,
    kill: async ({ uid }) => await agent.kill(uid),
    async leftovers({ name, uid }: Driver) {
      const ofDriver = [
        ...(await admin.list(pods, namespace, `${label.driver}=${name}`)),
        ...(await admin.list(secrets, namespace, `${label.driver}=${name}`)),
      ];
      const running = agent.running().filter((one) => one.uid === uid);
      return [...ofDriver.map(named), ...running.map(({ pid }) => `process ${pid}`)];
    },
    async dispose() {
      world.dispose();
      await agent.stop();
      await cluster.stop();
    },
  };
});
