import type { FirstCall } from "../../drivers/first-call.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";

/** One unpacked Spark. */
export interface SparkInstallation {
  /** Folder that holds `jars/`. */
  readonly sparkHome: string;
  /** For the driver's Python workers. */
  readonly python: string;
  /** More jars for the class path, such as Spark Connect's own for Spark 3.5. Default none. */
  readonly extraJars?: readonly string[];
  /** More arguments for Java, such as a class data archive. Default none. */
  readonly javaArguments?: readonly string[];
}

/** What the drivers of one profile are made of. */
export interface LocalProfile {
  /** Names the installation: "4.1.0". */
  readonly sparkVersion: string;
  /** Java's heap, in Spark's notation: "1g". */
  readonly driverMemory: string;
  /** Tasks that run at once. */
  readonly driverCores: number;
  /** Laid over our defaults; what decides on address and token cannot be set. */
  readonly sparkConf: Readonly<Record<string, string>>;
  /** Whether a driver may run without a token of its own: Spark before 4.0 has none. */
  readonly allowTokenless: boolean;
}

export interface LocalRuntimeOptions {
  /** For state and logs; made with mode 0700. One runtime at a time may use it. */
  readonly folder: string;
  /** Java 17 or 21: an absolute path, or a name on the PATH. */
  readonly java: string;
  /** By Spark version. */
  readonly installations: Readonly<Record<string, SparkInstallation>>;
  readonly profiles: Readonly<Record<string, LocalProfile>>;
  /** IPv4 range in CIDR notation from which each driver gets an address of its own. Default 127.77.0.0/16. */
  readonly addressPool?: string;
  /** Default 15002. */
  readonly port?: number;
  /** Drivers at once, failed ones not counted. Default 8. */
  readonly maxDrivers?: number;
  /** Drivers that may be starting at once. Default the number of cores. */
  readonly concurrentStarts?: number;
  /** ms; default 120,000. Waiting for a turn is not counted. */
  readonly startTimeoutMs?: number;
  /** ms between SIGTERM and SIGKILL; default 10,000. */
  readonly stopGraceMs?: number;
  /** How long a failed start is still reported. ms; default 30,000. */
  readonly failureMemoryMs?: number;
  /** How soon the death of an adopted driver is noticed. ms; default 250. */
  readonly pollMs?: number;
  /** Logs of ended drivers that are kept. Default 20. */
  readonly keepLogs?: number;
  /** Whether drivers outlive `close`, to be adopted by the next runtime on this folder. Default true. */
  readonly keepDriversOnClose?: boolean;
  readonly firstCall: FirstCall;
  readonly clock: Clock;
  readonly log: Log;
}

export type ResolvedOptions = Required<LocalRuntimeOptions>;

export function withDefaults(options: LocalRuntimeOptions, cores: number): ResolvedOptions {
  return {
    addressPool: "127.77.0.0/16",
    port: 15_002,
    maxDrivers: 8,
    concurrentStarts: cores,
    startTimeoutMs: 120_000,
    stopGraceMs: 10_000,
    failureMemoryMs: 30_000,
    pollMs: 250,
    keepLogs: 20,
    keepDriversOnClose: true,
    ...options,
  };
}
