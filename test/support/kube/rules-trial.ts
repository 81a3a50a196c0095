import { randomBytes, randomUUID } from "node:crypto";
import type { DriverRuntime } from "../../../src/drivers/runtime.ts";
import { createFirstCall } from "../../../src/edges/driver/first-call.ts";
import type { KubeApi } from "../../../src/edges/kubernetes/api.ts";
import { type DriverKind, kinds, leases, secrets } from "../../../src/edges/kubernetes/kinds.ts";
import { createKubeApi } from "../../../src/edges/kubernetes/kube-api.ts";
import type { KubernetesRuntimeOptions } from "../../../src/edges/kubernetes/options.ts";
import { createKubernetesRuntime } from "../../../src/edges/kubernetes/runtime.ts";
import { systemClock } from "../../../src/kernel/clock.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { type CountingMetrics, countingMetrics } from "../counting-metrics.ts";
import { recordingLog } from "../recording-log.ts";
import { until } from "../until.ts";
import { type Watched, watchRuntime } from "../watched.ts";
import { type KubeAdmin, pods } from "./access.ts";
import { serviceAccountToken } from "./access-rights.ts";
import type { KubeCluster } from "./cluster.ts";
import { podProfile } from "./pod-profile.ts";
import type { GivenRules } from "./rules-given.ts";

type Wrap = (api: KubeApi) => KubeApi;

/** Where one check of what the rights are for takes place. */
export interface Trial {
  readonly admin: KubeAdmin;
  /** Of drivers. */
  readonly namespace: string;
  /** The app of the trial's own session: no other trial's. */
  readonly app: string;
  readonly lease: { readonly namespace: string; readonly name: string };
  /** A replica of the same Gatehouse whose rights are without question; it leads by another Lease. */
  readonly founder: DriverRuntime;
  /** How long something that must come is waited for. ms */
  readonly limitMs: number;
  /** A replica with the rights in question, once it has read what it may. */
  replica(wrap?: Wrap): Promise<Watched>;
  /** As `replica`, once it leads. */
  leading(wrap?: Wrap): Promise<Watched>;
}

export interface TrialWorld {
  /** Does it, and removes what it left. @returns what was asked of the API server */
  run(check: (trial: Trial) => Promise<void>, limitMs: number): Promise<CountingMetrics>;
  close(): Promise<void>;
}

/** @param given in force already */
export async function trialWorld(cluster: KubeCluster, given: GivenRules): Promise<TrialWorld> {
  const { admin } = cluster;
  const { namespace, home, account } = given;
  const kubeconfigFile = cluster.kubeconfigFor(await serviceAccountToken(admin, home, account));
  const options = optionsOf(given);
  const founding = createKubeApi({
    kubeconfigFile: cluster.adminKubeconfig,
    requestTimeoutMs: 5_000,
    metrics: noMetrics,
  });
  const founder = createKubernetesRuntime({
    ...options,
    api: founding,
    replica: `founder_${randomUUID()}`,
    lease: { ...options.lease, name: "founder" },
  });
  let trials = 0;
  return {
    async run(check, limitMs) {
      trials += 1;
      const app = `trial-${trials}`;
      const metrics = countingMetrics();
      const open: Watched[] = [];
      const apis: KubeApi[] = [];
      const replica = async (wrap: Wrap = (api) => api): Promise<Watched> => {
        const api = createKubeApi({ kubeconfigFile, requestTimeoutMs: 5_000, metrics });
        apis.push(api);
        const watched = watchRuntime(
          createKubernetesRuntime({ ...options, api: wrap(api), replica: `replica_${randomUUID()}` }),
        );
        open.push(watched);
        await watched.when("the first list is complete", (w) => w.firstList, 10_000);
        return watched;
      };
      const leading = async (wrap?: Wrap): Promise<Watched> => {
        const watched = await replica(wrap);
        await until(() => watched.runtime.mayStop(), { what: "it leads", deadlineMs: limitMs });
        return watched;
      };
      try {
        await check({ admin, namespace, app, lease: options.lease, founder, limitMs, replica, leading });
      } finally {
        await Promise.all(open.map(async (each) => await each.close()));
        for (const api of apis) api.close();
        await clean(admin, given);
        // A replica that ends while it asks for the Lease may not give it back.
        await admin.delete(leases, home, options.lease.name).catch(() => undefined);
      }
      return metrics;
    },
    async close() {
      await founder.close();
      founding.close();
    },
  };
}

function optionsOf({
  namespace,
  home,
  account,
  kinds: used,
  clusterWide,
}: GivenRules): Omit<KubernetesRuntimeOptions, "api" | "replica"> {
  const profile = (kind: DriverKind) => ({ ...podProfile, kind, allowTokenless: true });
  return {
    cluster: "local",
    installation: "gatehouse",
    namespaces: clusterWide ? [] : [namespace],
    sealKeys: [randomBytes(32)],
    lease: { namespace: home, name: account, durationMs: 3_000, renewDeadlineMs: 2_000, retryMs: 100 },
    peer: { listen: "127.0.0.1:0", advertise: "127.0.0.1:0" },
    profiles: { ...Object.fromEntries(used.map((kind) => [kind, profile(kind)])), default: profile(used[0] ?? "pod") },
    port: 15_002,
    maxDrivers: 10,
    startTimeoutMs: 90_000,
    unschedulableGraceMs: 10_000,
    failureMemoryMs: 60_000,
    deletion: "Background",
    staleAfterMs: 120_000,
    firstCall: createFirstCall(),
    clock: systemClock,
    log: recordingLog([]),
    metrics: noMetrics,
    random: Math.random,
  };
}

async function clean(admin: KubeAdmin, { namespace, kinds: used }: GivenRules): Promise<void> {
  const collections = [pods, secrets, ...used.map((kind) => kinds[kind])];
  for (const of of collections) {
    for (const { metadata } of await admin.list(of, namespace)) {
      await admin.delete(of, namespace, metadata.name, { gracePeriodSeconds: 0 }).catch(() => undefined);
    }
  }
}
