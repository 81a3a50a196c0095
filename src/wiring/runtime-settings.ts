import type { Config } from "../config/resolve.ts";
import type { LocalRuntimeOptions } from "../edges/local/options.ts";

/** Where the runtime keeps things and what each profile's drivers are made of. */
export function localRuntimeSettings(config: Config): Omit<LocalRuntimeOptions, "clock" | "log"> {
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

function mapValues<V, W>(from: Readonly<Record<string, V>>, to: (value: V) => W): Record<string, W> {
  return Object.fromEntries(Object.entries(from).map(([name, value]) => [name, to(value)]));
}
