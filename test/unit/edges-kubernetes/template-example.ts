import type { StartRequest } from "../../../src/drivers/runtime.ts";
import type { DriverKind } from "../../../src/edges/kubernetes/kinds.ts";
import type { DriverFacts } from "../../../src/edges/kubernetes/labels.ts";
import type { KubernetesProfile } from "../../../src/edges/kubernetes/options.ts";
import type { TemplateInput } from "../../../src/edges/kubernetes/template-input.ts";
import { podProfile } from "../../support/kube/pod-profile.ts";

/** A profile that says no more than it must. */
export const plainProfile: KubernetesProfile = {
  ...podProfile,
  image: "apache/spark:4.1.0-python3",
  driverCores: 2,
  driverMemory: "4g",
  executorCores: 2,
  executorMemory: "4g",
};

/** A profile that says all it can. */
export const fullProfile: KubernetesProfile = {
  ...plainProfile,
  imagePullPolicy: "IfNotPresent",
  imagePullSecrets: ["registry"],
  driverMemoryOverhead: "1g",
  executorInstances: 3,
  executorMemoryOverhead: "512m",
  driver: {
    serviceAccount: "spark-driver",
    labels: { team: "data" },
    annotations: { "example.com/cost": "driver" },
    nodeSelector: { pool: "drivers" },
    tolerations: [{ key: "pool", operator: "Equal", value: "drivers", effect: "NoSchedule" }],
  },
  executor: {
    serviceAccount: "spark-executor",
    labels: { team: "data" },
    annotations: { "example.com/cost": "executor" },
    nodeSelector: { pool: "executors" },
    tolerations: [{ key: "pool", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 }],
  },
  executorPodNamePrefix: "analytics",
  adaptiveExecution: true,
  coalescePartitions: false,
  eventLogDir: "s3a://logs/spark",
  grpcMaxMessageBytes: 134_217_728,
  arrowMaxBatchBytes: 4_194_304,
  connectSessionTimeoutMs: 3_600_000,
  javaOptions: "-XX:+UseG1GC -Dnote=$HOME",
  sparkConf: { "spark.sql.shuffle.partitions": "64", "spark.hadoop.note": "it's $(POD_IP)" },
};

const request: StartRequest = {
  key: { cluster: "local", namespace: "sjns-data-dev", app: "report" },
  owner: "alice@dev",
  ownerUser: "alice",
  sharedWithGroups: [],
  profile: "standard",
};

const facts: DriverFacts = {
  v: 1,
  ...request.key,
  owner: request.owner,
  ownerUser: request.ownerUser,
  sharedWithGroups: [],
  profile: "standard",
  tokenSecret: "gh-0123456789abcdef0123456789abcdef-7f3a9c",
  createdAt: Date.UTC(2026, 0, 2, 3, 4, 5),
};

export function exampleInput(profile: KubernetesProfile, kind: DriverKind = "pod"): TemplateInput {
  return {
    profile: { ...profile, kind },
    profileName: "standard",
    request,
    name: "gh-0123456789abcdef0123456789abcdef",
    port: 15_002,
    installation: "gatehouse",
    facts,
    factsText: JSON.stringify(facts),
    cluster: "local",
  };
}
