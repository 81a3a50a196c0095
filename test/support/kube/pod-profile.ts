import type { KubernetesProfile, PodSettings } from "../../../src/edges/kubernetes/options.ts";

const nothing: PodSettings = {
  serviceAccount: undefined,
  labels: {},
  annotations: {},
  nodeSelector: {},
  tolerations: [],
};

/** A plain pod without executors. */
export const podProfile: KubernetesProfile = {
  kind: "pod",
  sparkVersion: "4.1.0",
  image: "apache/spark:4.1.0",
  imagePullPolicy: undefined,
  imagePullSecrets: [],
  driverCores: 1,
  driverMemory: "1g",
  driverMemoryOverhead: undefined,
  executorInstances: 0,
  executorCores: 1,
  executorMemory: "1g",
  executorMemoryOverhead: undefined,
  driver: nothing,
  executor: nothing,
  runAsUser: 185,
  executorPodNamePrefix: undefined,
  adaptiveExecution: undefined,
  coalescePartitions: undefined,
  eventLogDir: undefined,
  grpcMaxMessageBytes: undefined,
  arrowMaxBatchBytes: undefined,
  connectSessionTimeoutMs: undefined,
  javaOptions: undefined,
  sparkConf: {},
  allowTokenless: false,
  maxTtlMs: 4 * 3_600_000,
};
