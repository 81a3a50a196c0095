import { nameOf } from "../../../src/edges/kubernetes/facts.ts";
import { annotation, type DriverFacts } from "../../../src/edges/kubernetes/labels.ts";
import type { ContainerState, Pod, Stored } from "../../../src/edges/kubernetes/objects.ts";
import type { DriverObjects, ObserveContext } from "../../../src/edges/kubernetes/observe-types.ts";

/** 2026-11-21T12:00:00Z: when the objects of these tests were made. */
export const made = Date.UTC(2026, 10, 21, 12);
export const after = (seconds: number): string => new Date(made + seconds * 1_000).toISOString().replace(".000Z", "Z");
export const key = { cluster: "main", namespace: "sjns-data-dev", app: "notebook" };
export const name = nameOf(key);
export const token = "t0ken-t0ken-t0ken-t0ken-t0ken-t0ken-t0ken-t";

export const facts: DriverFacts = {
  v: 1,
  ...key,
  owner: "u1@corp",
  ownerUser: "ann",
  sharedWithGroups: ["team"],
  profile: "interactive",
  tokenSecret: `${name}-x7k2p`,
  createdAt: made,
};

export const context: ObserveContext = {
  now: made + 20_000,
  cluster: "main",
  port: 15_002,
  startTimeoutMs: 300_000,
  unschedulableGraceMs: 60_000,
  profiles: {
    interactive: { allowTokenless: false },
    legacy: { allowTokenless: true },
    default: { allowTokenless: false },
  },
};

/** A pod as our own start makes it, with its status by and by. */
export function podWith(
  status: Pod["status"],
  more: { readonly annotations?: Record<string, string>; readonly metadata?: Partial<Stored<Pod>["metadata"]> } = {},
): Stored<Pod> {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: key.namespace,
      uid: "uid-1",
      resourceVersion: "7",
      creationTimestamp: after(0),
      annotations: { [annotation.facts]: JSON.stringify(facts), ...more.annotations },
      ...more.metadata,
    },
    spec: { restartPolicy: "Never", containers: [{ name: "spark-kubernetes-driver", image: "apache/spark:4.1.0" }] },
    ...(status === undefined ? {} : { status }),
  };
}

export const container = (state: ContainerState, restartCount = 0, lastState?: ContainerState) => ({
  name: "spark-kubernetes-driver",
  restartCount,
  state,
  ...(lastState === undefined ? {} : { lastState }),
});

/** Runs since second 5; Ready, or not, since the given second. */
export const running = (ready: "True" | "False" = "True", since = 15): Pod["status"] => ({
  phase: "Running",
  podIP: "10.1.2.3",
  conditions: [
    { type: "PodScheduled", status: "True", lastTransitionTime: after(1) },
    { type: "Ready", status: ready, lastTransitionTime: after(since) },
  ],
  containerStatuses: [container({ running: { startedAt: after(5) } })],
});

export const objectsOf = (pod: Stored<Pod>, more: Partial<DriverObjects> = {}): DriverObjects => ({
  kind: "pod",
  main: pod,
  sealed: true,
  pod,
  firstPodUid: undefined,
  token,
  events: [],
  answers: false,
  logTail: [],
  ...more,
});
