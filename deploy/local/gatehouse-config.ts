import type { CertificateFiles } from "./certificates.ts";
import { addressPool, type Layout } from "./layout.ts";
import type { Tools } from "./tools.ts";

/** A configuration file's content, before it is written as YAML. */
export type ConfigTree = { readonly [key: string]: unknown };

export interface ConfigParts {
  readonly layout: Layout;
  readonly certificates: CertificateFiles;
  readonly issuerUrl: string;
  readonly ports: { readonly envoy: number; readonly http: number };
  readonly tools: Tools;
  /** For the drivers of Spark 4.1; see `class-archive.ts`. */
  readonly javaArguments: readonly string[];
}

/**
 * Gatehouse's configuration for one machine: everything on loopback, drivers small enough for two cores and 4 GiB, and
 * nothing left behind when Gatehouse ends.
 */
export function localConfig({ layout, certificates, issuerUrl, ports, tools, javaArguments }: ConfigParts): ConfigTree {
  return {
    listen: { address: "127.0.0.1", port: ports.envoy, domain: "spark.localhost" },
    tls: { certificate_file: certificates.certFile, private_key_file: certificates.keyFile },
    control: { socket_folder: layout.sockets },
    http: { address: "127.0.0.1", port: ports.http },
    identity: {
      issuers: [{ name: "local", issuer: issuerUrl, audiences: ["gatehouse"], algorithms: ["RS256"] }],
    },
    policy: { admins: { groups: ["gatehouse-admins"] }, environments: ["dev"] },
    on_demand: {
      enabled: true,
      spark_version: tools.sparkVersion,
      driver_cores: 2,
      driver_memory: "1g",
      executor_instances: 0,
    },
    audit: { file: layout.auditFile },
    shutdown: { drain_seconds: 1 },
    runtime: {
      kind: "local",
      local: {
        folder: layout.drivers,
        java: tools.java,
        address_pool: addressPool(layout.folder),
        keep_drivers_on_exit: false,
        installations: installations(tools, javaArguments),
      },
    },
  };
}

function installations({ sparkVersion, sparkHome, python, spark35 }: Tools, java: readonly string[]): ConfigTree {
  const main = { [sparkVersion]: { spark_home: sparkHome, python, java_arguments: java } };
  if (spark35 === undefined) return main;
  const { extraJars } = spark35;
  return {
    ...main,
    [spark35.sparkVersion]: { spark_home: spark35.sparkHome, python: spark35.python, extra_jars: extraJars },
  };
}

/** `over` laid over `base`: mappings are merged key by key, everything else (lists too) is replaced. */
export function mergeConfig(base: ConfigTree, over: ConfigTree): ConfigTree {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    merged[key] = isTree(before) && isTree(value) ? mergeConfig(before, value) : value;
  }
  return merged;
}

function isTree(value: unknown): value is ConfigTree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
