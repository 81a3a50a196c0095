import type { FirstCall } from "../../drivers/first-call.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/metrics.ts";
import type { KubeApi } from "./api.ts";
import type { DriverKind } from "./kinds.ts";

/** Where pods of one role run and as whom. */
export interface PodSettings {
  readonly serviceAccount: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly nodeSelector: Readonly<Record<string, string>>;
  /** As in a PodSpec. */
  readonly tolerations: readonly Readonly<Record<string, string | number>>[];
}

/** What the drivers of one profile are made of. */
export interface KubernetesProfile {
  readonly kind: DriverKind;
  readonly sparkVersion: string;
  readonly image: string;
  readonly imagePullPolicy: "Always" | "IfNotPresent" | "Never" | undefined;
  readonly imagePullSecrets: readonly string[];
  readonly driverCores: number;
  /** Java's heap, in Spark's notation: "4g". */
  readonly driverMemory: string;
  /** Beside the heap, in Spark's notation; undefined: Spark's own rule (10 %, at least 384m). */
  readonly driverMemoryOverhead: string | undefined;
  readonly executorInstances: number;
  readonly executorCores: number;
  readonly executorMemory: string;
  readonly executorMemoryOverhead: string | undefined;
  readonly driver: PodSettings;
  readonly executor: PodSettings;
  /** User id of the driver's and the executors' containers: 185 in Spark's own images; undefined: the image's or cluster's. */
  readonly runAsUser: number | undefined;
  /** Names executors' pods, at most 30 characters; undefined: the driver's name. */
  readonly executorPodNamePrefix: string | undefined;
  /** undefined, here and below: Spark's own default. */
  readonly adaptiveExecution: boolean | undefined;
  readonly coalescePartitions: boolean | undefined;
  /** Where Spark writes event logs, such as "s3a://bucket/logs"; undefined: it writes none. */
  readonly eventLogDir: string | undefined;
  /** The largest request message that the Connect server takes. */
  readonly grpcMaxMessageBytes: number | undefined;
  readonly arrowMaxBatchBytes: number | undefined;
  /** When the Connect server forgets a session without calls. */
  readonly connectSessionTimeoutMs: number | undefined;
  /** For the Java of the driver and of the executors; the heap cannot be set here. */
  readonly javaOptions: string | undefined;
  /** Laid over our defaults and over what the keys of the profile say; what decides on address and token cannot be set. */
  readonly sparkConf: Readonly<Record<string, string>>;
  /** Whether a driver may run without a token of its own: Spark before 4.0 has none. */
  readonly allowTokenless: boolean;
  /** How old a driver may become, ms; for the annotation that people read. */
  readonly maxTtlMs: number;
}

export interface LeaseOptions {
  readonly namespace: string;
  readonly name: string;
  /** How long others wait before they take over from a holder that is silent. ms; default 15,000. */
  readonly durationMs: number;
  /** A holder that could not renew for so long stops leading. ms; less than the duration; default 10,000. */
  readonly renewDeadlineMs: number;
  /** Between tries. ms; default 2,000. */
  readonly retryMs: number;
}

export interface KubernetesRuntimeOptions {
  /** `cluster`: part of every session key. */
  readonly cluster: string;
  readonly api: KubeApi;
  /** Tells apart several Gatehouses that use the same namespaces. */
  readonly installation: string;
  /** Where drivers may be; empty for all namespaces. */
  readonly namespaces: readonly string[];
  /** This process, among all replicas, ever: `<pod name>_<uuid>`. */
  readonly replica: string;
  /** At least 32 bytes each; the first signs, all verify. Shared by the replicas. */
  readonly sealKeys: readonly Uint8Array[];
  readonly lease: LeaseOptions;
  /** Where replicas ask the leader for starts: what this one listens on, and how the others reach it (`host:port`). */
  readonly peer: { readonly listen: string; readonly advertise: string };
  readonly profiles: Readonly<Record<string, KubernetesProfile>>;
  /** Default 15002. */
  readonly port: number;
  /** Drivers at once, failed ones not counted. */
  readonly maxDrivers: number;
  readonly startTimeoutMs: number;
  /** How long a pod may be unschedulable before its start has failed. ms; default 10,000. */
  readonly unschedulableGraceMs: number;
  /** How long a failed start is still reported before its objects are deleted. ms */
  readonly failureMemoryMs: number;
  /** Kubernetes' propagation policy when a driver is deleted. */
  readonly deletion: "Background" | "Foreground";
  /** The watch is out of date where nothing was heard of it for so long. ms; bookmarks come about once a minute. */
  readonly staleAfterMs: number;
  readonly firstCall: FirstCall;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Uniform in [0, 1); for jitter. */
  readonly random: () => number;
}
