import { randomBytes, randomUUID } from "node:crypto";
import type { DriverRuntime } from "../../../src/drivers/runtime.ts";
import { createFirstCall } from "../../../src/edges/driver/first-call.ts";
import type { KubeApi } from "../../../src/edges/kubernetes/api.ts";
import { createKubeApi } from "../../../src/edges/kubernetes/kube-api.ts";
import type { KubernetesRuntimeOptions } from "../../../src/edges/kubernetes/options.ts";
import { createKubernetesRuntime } from "../../../src/edges/kubernetes/runtime.ts";
import { systemClock } from "../../../src/kernel/clock.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { type LogLine, recordingLog } from "../recording-log.ts";
import { grant, serviceAccountToken, serviceAccountUser } from "./access-rights.ts";
import type { KubeCluster } from "./cluster.ts";
import { podProfile } from "./pod-profile.ts";
import { driverRules, leaseRules } from "./rules.ts";

export interface RuntimeWorldOptions {
  /** Home of the drivers; made where it is missing. */
  readonly namespaces: readonly string[];
  readonly more?: Partial<KubernetesRuntimeOptions>;
}

/** Runtimes that share one Lease and one seal key, each with connections of its own, with the chart's rights. */
export interface RuntimeWorld {
  readonly log: readonly LogLine[];
  /** Who the replicas are, for RBAC. */
  readonly user: string;
  readonly options: Omit<KubernetesRuntimeOptions, "api" | "replica">;
  /** One more replica. */
  open(more?: Partial<KubernetesRuntimeOptions>, wrap?: (api: KubeApi) => KubeApi): DriverRuntime;
  /** Closes the runtimes' connections; the runtimes are the test's to close. */
  dispose(): void;
}

let worlds = 0;

export async function runtimeWorld(
  cluster: KubeCluster,
  { namespaces, more = {} }: RuntimeWorldOptions,
): Promise<RuntimeWorld> {
  const { admin } = cluster;
  worlds += 1;
  const home = `home-${worlds}`;
  for (const namespace of [home, ...namespaces]) await admin.createNamespace(namespace);
  const token = await serviceAccountToken(admin, home, "gatehouse");
  const user = serviceAccountUser(home, "gatehouse");
  await grant(admin, "gatehouse-lease", { user, namespace: home, rules: leaseRules });
  for (const namespace of namespaces) await grant(admin, "gatehouse-drivers", { user, namespace, rules: driverRules });
  const kubeconfigFile = cluster.kubeconfigFor(token);
  const lines: LogLine[] = [];
  const options: RuntimeWorld["options"] = {
    cluster: "local",
    installation: `test-${worlds}`,
    namespaces,
    sealKeys: [randomBytes(32)],
    lease: { namespace: home, name: "gatehouse", durationMs: 3_000, renewDeadlineMs: 2_000, retryMs: 250 },
    peer: { listen: "127.0.0.1:0", advertise: "127.0.0.1:0" },
    profiles: { default: podProfile },
    port: 15_002,
    maxDrivers: 10,
    startTimeoutMs: 90_000,
    unschedulableGraceMs: 10_000,
    failureMemoryMs: 3_000,
    deletion: "Background",
    staleAfterMs: 120_000,
    firstCall: createFirstCall(),
    clock: systemClock,
    log: recordingLog(lines),
    metrics: noMetrics,
    random: Math.random,
    ...more,
  };
  const apis: KubeApi[] = [];
  return {
    log: lines,
    user,
    options,
    open(own = {}, wrap = (api) => api) {
      const metrics = own.metrics ?? options.metrics;
      const api = createKubeApi({ kubeconfigFile, requestTimeoutMs: 5_000, metrics });
      apis.push(api);
      return createKubernetesRuntime({ ...options, api: wrap(api), replica: `replica_${randomUUID()}`, ...own });
    },
    dispose() {
      for (const api of apis) api.close();
    },
  };
}
