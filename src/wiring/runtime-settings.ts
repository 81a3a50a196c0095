import type { Config } from "../config/resolve.ts";
import type { KubernetesProfile, KubernetesRuntimeOptions, PodSettings } from "../edges/kubernetes/options.ts";
import type { LocalRuntimeOptions } from "../edges/local/options.ts";

/** Where the runtime keeps things and what each profile's drivers are made of. */
export function localRuntimeSettings(config: Config): Omit<LocalRuntimeOptions, "clock" | "firstCall" | "log"> {
  const { local } = config.runtime;
  return {
    folder: local.folder,
    java: local.java,
    addressPool: local.address_pool,
    port: local.port,
    maxDrivers: local.max_drivers,
    concurrentStarts: local.concurrent_starts,
    startTimeoutMs: local.start_timeout_seconds * 1000,
    stopGraceMs: local.stop_grace_seconds * 1000,
    failureMemoryMs: config.hold.failure_memory_seconds * 1000,
    keepLogs: local.keep_logs,
    keepDriversOnClose: local.keep_drivers_on_exit,
    installations: mapValues(local.installations, ({ spark_home, python, extra_jars, java_arguments }) => ({
      sparkHome: spark_home,
      python,
      extraJars: extra_jars,
      javaArguments: java_arguments,
    })),
    profiles: mapValues(config.profiles, ({ on_demand, spark_conf, allow_tokenless }) => ({
      sparkVersion: on_demand.spark_version,
      driverMemory: on_demand.driver_memory,
      driverCores: on_demand.driver_cores,
      sparkConf: spark_conf,
      allowTokenless: allow_tokenless,
    })),
  };
}

type KubernetesSettings = Omit<
  KubernetesRuntimeOptions,
  "api" | "clock" | "firstCall" | "log" | "metrics" | "random" | "replica" | "sealKeys"
>;

/**
 * What the configuration says about drivers on Kubernetes. `own`: what holds where it leaves the Lease's namespace and the
 * peers' address open.
 */
export function kubernetesSettings(
  config: Config,
  own: { readonly namespace: string; readonly advertise: string },
): KubernetesSettings {
  const { kubernetes } = config.runtime;
  const { lease, peer } = kubernetes;
  return {
    cluster: config.cluster,
    installation: kubernetes.installation,
    namespaces: kubernetes.namespaces,
    lease: {
      namespace: lease.namespace ?? own.namespace,
      name: lease.name ?? kubernetes.installation,
      durationMs: lease.duration_seconds * 1000,
      renewDeadlineMs: lease.renew_deadline_seconds * 1000,
      retryMs: lease.retry_seconds * 1000,
    },
    peer: { listen: peer.listen, advertise: peer.advertise ?? own.advertise },
    profiles: mapValues(config.profiles, kubernetesProfile),
    port: kubernetes.port,
    maxDrivers: kubernetes.max_drivers,
    startTimeoutMs: kubernetes.start_timeout_seconds * 1000,
    unschedulableGraceMs: kubernetes.unschedulable_grace_seconds * 1000,
    failureMemoryMs: config.hold.failure_memory_seconds * 1000,
    deletion: kubernetes.deletion === "background" ? "Background" : "Foreground",
    staleAfterMs: kubernetes.stale_after_seconds * 1000,
  };
}

type Profile = Config["profiles"][string];

function kubernetesProfile({ on_demand, kubernetes, ...profile }: Profile): KubernetesProfile {
  const sessionMinutes = kubernetes.connect_session_timeout_minutes;
  return {
    kind: kubernetes.kind,
    sparkVersion: on_demand.spark_version,
    image: on_demand.image,
    imagePullPolicy: kubernetes.image_pull_policy,
    imagePullSecrets: kubernetes.image_pull_secrets,
    runAsUser: kubernetes.run_as_user === 0 ? undefined : kubernetes.run_as_user,
    driverCores: on_demand.driver_cores,
    driverMemory: on_demand.driver_memory,
    driverMemoryOverhead: kubernetes.driver.memory_overhead,
    executorInstances: on_demand.executor_instances,
    executorCores: on_demand.executor_cores,
    executorMemory: on_demand.executor_memory,
    executorMemoryOverhead: kubernetes.executor.memory_overhead,
    driver: podSettings(kubernetes.driver),
    executor: podSettings(kubernetes.executor),
    executorPodNamePrefix: kubernetes.executor_pod_name_prefix,
    adaptiveExecution: kubernetes.adaptive_execution,
    coalescePartitions: kubernetes.coalesce_partitions,
    eventLogDir: kubernetes.event_log_dir,
    grpcMaxMessageBytes: kubernetes.grpc_max_message_bytes,
    arrowMaxBatchBytes: kubernetes.arrow_max_batch_bytes,
    connectSessionTimeoutMs: sessionMinutes === undefined ? undefined : sessionMinutes * 60_000,
    javaOptions: kubernetes.java_options,
    sparkConf: profile.spark_conf,
    allowTokenless: profile.allow_tokenless,
    maxTtlMs: profile.max_ttl_hours * 3_600_000,
  };
}

function podSettings(role: Profile["kubernetes"]["driver"]): PodSettings {
  return {
    serviceAccount: role.service_account,
    labels: role.labels,
    annotations: role.annotations,
    nodeSelector: role.node_selector,
    tolerations: role.tolerations.map(({ key, operator, value, effect, toleration_seconds: seconds }) => ({
      operator,
      ...(key === undefined ? {} : { key }),
      ...(value === undefined ? {} : { value }),
      ...(effect === undefined ? {} : { effect }),
      ...(seconds === undefined ? {} : { tolerationSeconds: seconds }),
    })),
  };
}

function mapValues<V, W>(from: Readonly<Record<string, V>>, to: (value: V) => W): Record<string, W> {
  return Object.fromEntries(Object.entries(from).map(([name, value]) => [name, to(value)]));
}
