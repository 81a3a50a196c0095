import { type ConfigTree, mergeConfig } from "../../../deploy/local/gatehouse-config.ts";
import { annotation } from "../../../src/edges/kubernetes/labels.ts";
import type { Pod, Stored } from "../../../src/edges/kubernetes/objects.ts";
import { driverRecords } from "../kill-watch.ts";
import type { Stack } from "../stack.ts";
import { until } from "../until.ts";
import { pods } from "./access.ts";
import { serviceAccountToken } from "./access-rights.ts";
import { type ApiProxy, startApiProxy } from "./api-proxy.ts";
import { watchAll } from "./node-agent-watch.ts";
import { type KubeWorld, type KubeWorldOptions, startKubeWorld } from "./world.ts";

/** A driver's cluster in Envoy. */
export interface EnvoyCluster {
  readonly name: string;
  /** `address:port` of its endpoints. */
  readonly hosts: readonly string[];
}

/** One replica that reaches the API server through a proxy, which tests make misbehave. */
export interface TroubleWorld {
  readonly world: KubeWorld;
  readonly proxy: ApiProxy;
  readonly stack: Stack;
  /** What /readyz answers. */
  readyz(): Promise<{ readonly status: number; readonly warnings: readonly string[] }>;
  /** The pod that serves the session `namespace/app` now. @throws Error where there is none, or more than one */
  podOf(session: string): Promise<Stored<Pod>>;
  clusters(): Promise<readonly EnvoyCluster[]>;
  /** Waits until the pod's status or deletion shows it, as another watch sees it. @returns when that watch saw it, by `performance.now()` */
  podSeen(uid: string, what: (pod: Stored<Pod> | undefined) => boolean): Promise<number>;
  /**
   * Waits until Envoy's clusters are so. @returns by `performance.now()`, when that was seen; looks all the time, so an Envoy
   * that takes up an update shows it within some milliseconds
   */
  envoyShows(what: string, holds: (clusters: readonly EnvoyCluster[]) => boolean): Promise<number>;
  /** What the audit says of a driver: `action reason`. */
  fate(uid: string): Promise<readonly string[]>;
  stop(): Promise<void>;
}

const long = { deadlineMs: 45_000 };

export async function startTroubleWorld(options: KubeWorldOptions, config: ConfigTree): Promise<TroubleWorld> {
  const world = await startKubeWorld(options);
  const { admin } = world.cluster;
  const closed = new AbortController();
  let proxy: ApiProxy | undefined;
  let watching: Promise<void> = Promise.resolve();
  const stop = async () => {
    closed.abort();
    await watching;
    await world.stop();
    await proxy?.close();
  };
  const seen = new Map<string, { pod: Stored<Pod> | undefined; at: number }[]>();
  const note = (uid: string, pod: Stored<Pod> | undefined) => {
    const all = seen.get(uid) ?? [];
    all.push({ pod, at: performance.now() });
    seen.set(uid, all);
  };
  try {
    proxy = await startApiProxy(world.cluster);
    const token = await serviceAccountToken(admin, world.homeNamespace, "gatehouse");
    const own = { runtime: { kubernetes: { kubeconfig_file: proxy.kubeconfigFor(token) } } };
    const stack = await world.replica({ config: mergeConfig(config, own) });
    const envoy = `http://127.0.0.1:${stack.ports.admin}/clusters?format=json`;
    const clusters = async () => clustersIn(await (await fetch(envoy)).json());
    watching = watchAll<Stored<Pod>>(admin, pods, closed.signal, {
      onObject: (pod) => note(pod.metadata.uid, pod),
      onGone: (uid) => note(uid, undefined),
      known: () => seen.keys(),
    });
    return {
      world,
      proxy,
      stack,
      stop,
      clusters,
      async readyz() {
        const answer = await fetch(`${stack.httpUrl}/readyz`);
        const { warnings } = (await answer.json()) as { warnings: string[] };
        return { status: answer.status, warnings };
      },
      async podOf(session) {
        const [namespace = ""] = session.split("/");
        const found = (await admin.list<Pod>(pods, namespace)).filter(
          ({ metadata }) =>
            metadata.annotations?.[annotation.session] === session && metadata.deletionTimestamp === undefined,
        );
        const [pod] = found;
        if (pod === undefined || found.length > 1) throw new Error(`${session} has ${found.length} pods`);
        return pod;
      },
      async podSeen(uid, what) {
        const look = () => seen.get(uid)?.find(({ pod }) => what(pod))?.at;
        await until(() => look() !== undefined, { ...long, what: `pod ${uid} is seen so` });
        return look() ?? 0;
      },
      async envoyShows(what, holds) {
        await until(async () => holds(await clusters()), { ...long, what: `Envoy: ${what}` });
        return performance.now();
      },
      async fate(uid) {
        const records = await driverRecords(stack);
        return records.flatMap((each) => (each.driver_uid === uid ? [`${each.action} ${each.reason}`] : []));
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface EnvoyAnswer {
  readonly cluster_statuses?: readonly {
    readonly name: string;
    readonly host_statuses?: readonly {
      readonly address?: { readonly socket_address?: { readonly address: string; readonly port_value: number } };
    }[];
  }[];
}

function clustersIn(answer: unknown): EnvoyCluster[] {
  const { cluster_statuses = [] } = answer as EnvoyAnswer;
  return cluster_statuses
    .filter(({ name }) => name.startsWith("driver|"))
    .map(({ name, host_statuses = [] }) => ({
      name,
      hosts: host_statuses.map(({ address }) => {
        const at = address?.socket_address;
        return `${at?.address}:${at?.port_value}`;
      }),
    }));
}
