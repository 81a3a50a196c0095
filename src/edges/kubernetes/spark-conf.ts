import { sha256 } from "./hash.ts";
import type { KubernetesProfile } from "./options.ts";
import { podMemory } from "./quantities.ts";
import type { TemplateInput } from "./template-input.ts";

export type SparkConf = Readonly<Record<string, string>>;

/**
 * Settings that a profile's `spark_conf` cannot change: who reaches the driver, where it is found, whose it is, and what the
 * templates need to hold together.
 */
const reserved = new RegExp(
  `^spark\\.(${[
    "connect\\.grpc\\.binding\\.",
    "connect\\.authenticate\\.",
    "master$",
    "remote$",
    "submit\\.deployMode$",
    "driver\\.(host|bindAddress|port|blockManager\\.port)$",
    "kubernetes\\.namespace$",
    "kubernetes\\.(driver\\.)?container\\.image$",
    "kubernetes\\.authenticate\\.(driver|executor)\\.serviceAccountName$",
    "kubernetes\\.driver\\.(pod\\.name|master|podTemplate.*)$",
    "kubernetes\\.executor\\.(podNamePrefix|podTemplate.*)$",
    "kubernetes\\.(driver|executor)\\.(label|annotation)\\.gatehouse\\.dev/",
    "(kubernetes\\.driverEnv|executorEnv|kubernetes\\.(driver|executor)\\.secretKeyRef)\\.SPARK_CONNECT_AUTHENTICATE_TOKEN$",
  ].join("|")})`,
);

/** Fixed, so that network policies can name them. */
export const driverPorts = { rpc: 7078, blocks: 7079 } as const;

/**
 * What holds for drivers of all kinds: our defaults, then what the profile's keys say, then its `spark_conf`. Cores, heap
 * and overhead are in here too, so that a `spark_conf` that sets them wins over the keys.
 */
export function commonConf({ profile, port, name, facts }: TemplateInput): SparkConf {
  return {
    "spark.ui.enabled": "false",
    // Without it, whoever reaches a driver's port may act as an executor.
    "spark.authenticate": "true",
    "spark.driver.cores": String(profile.driverCores),
    "spark.driver.memory": profile.driverMemory,
    ...optional("spark.driver.memoryOverhead", profile.driverMemoryOverhead),
    ...optional("spark.driver.extraJavaOptions", profile.javaOptions),
    "spark.executor.instances": String(profile.executorInstances),
    "spark.executor.cores": String(profile.executorCores),
    "spark.executor.memory": profile.executorMemory,
    ...optional("spark.executor.memoryOverhead", profile.executorMemoryOverhead),
    ...optional("spark.executor.extraJavaOptions", profile.javaOptions),
    ...optional("spark.kubernetes.container.image.pullPolicy", profile.imagePullPolicy),
    ...queryConf(profile),
    ...freeConf(profile),
    "spark.kubernetes.executor.podNamePrefix": executorPrefix(profile, name, facts.createdAt),
    "spark.connect.grpc.binding.port": String(port),
  };
}

/** The same where Spark makes the driver's pod: its limit is what it asks for. */
export function clusterConf(input: TemplateInput): SparkConf {
  const conf = commonConf(input);
  return { ...optional("spark.kubernetes.driver.limit.cores", conf["spark.driver.cores"]), ...conf };
}

/** The settings of a profile without those that it cannot change. */
function freeConf({ sparkConf }: KubernetesProfile): SparkConf {
  return Object.fromEntries(Object.entries(sparkConf).filter(([name]) => !reserved.test(name)));
}

/** Names verified in Spark 4.1.0 (`org.apache.spark.sql.connect.config.Connect`); sizes are bytes there, times ms. */
function queryConf(profile: KubernetesProfile): SparkConf {
  return {
    ...optional("spark.sql.adaptive.enabled", profile.adaptiveExecution),
    ...optional("spark.sql.adaptive.coalescePartitions.enabled", profile.coalescePartitions),
    ...(profile.eventLogDir === undefined
      ? {}
      : { "spark.eventLog.enabled": "true", "spark.eventLog.dir": profile.eventLogDir }),
    ...optional("spark.connect.grpc.maxInboundMessageSize", profile.grpcMaxMessageBytes),
    ...optional("spark.connect.grpc.arrow.maxBatchSize", profile.arrowMaxBatchBytes),
    ...(profile.connectSessionTimeoutMs === undefined
      ? {}
      : { "spark.connect.session.manager.defaultSessionTimeout": `${Math.ceil(profile.connectSessionTimeoutMs)}ms` }),
  };
}

/**
 * Differs between incarnations, so that a driver never meets the executors of its predecessor. Spark allows 47 characters:
 * a prefix of the profile's may have 30.
 */
function executorPrefix({ executorPodNamePrefix: own }: KubernetesProfile, name: string, createdAt: number): string {
  const time = createdAt.toString(36);
  return own === undefined ? `${name}-${time}` : `${own}-${sha256(`${name}/${time}`).slice(0, 16)}`;
}

/**
 * Of what images and as whom Spark shall make pods. For kubeflow's operator these are keys of its resources: its webhook
 * refuses the settings.
 */
export function podMakingConf({ image, executor }: KubernetesProfile): SparkConf {
  return {
    "spark.kubernetes.container.image": image,
    ...optional("spark.kubernetes.authenticate.executor.serviceAccountName", executor.serviceAccount),
  };
}

/** What the driver's container needs by these settings: the whole of it is also its limit. */
export function driverNeeds(conf: SparkConf): { readonly cpu: string; readonly memory: string } {
  const { "spark.driver.cores": cpu = "1", "spark.driver.memory": heap = "1g" } = conf;
  const { "spark.driver.memoryOverhead": overhead, "spark.driver.memoryOverheadFactor": factor } = conf;
  return { cpu, memory: podMemory({ heap, overhead, factor }) };
}

export function withoutKeys(conf: SparkConf, names: readonly string[]): SparkConf {
  return Object.fromEntries(Object.entries(conf).filter(([name]) => !names.includes(name)));
}

/** Whether Spark itself makes pods for this profile's drivers, and therefore needs the API. */
export function wantsExecutors(profile: KubernetesProfile): boolean {
  const conf: SparkConf = { "spark.executor.instances": String(profile.executorInstances), ...freeConf(profile) };
  return Number(conf["spark.executor.instances"]) > 0 || conf["spark.dynamicAllocation.enabled"] === "true";
}

function optional(name: string, value: string | number | boolean | undefined): SparkConf {
  return value === undefined ? {} : { [name]: String(value) };
}
