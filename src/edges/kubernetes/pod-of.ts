import type { DriverKind } from "./kinds.ts";
import { label } from "./labels.ts";
import type { ContainerStatus, DriverResource, Pod, Stored } from "./objects.ts";

/** The name that Spark and the operators give the driver's container, and ours in plain pods. */
const sparkContainers = ["spark-kubernetes-driver", "spark-driver"];

/**
 * The pod of a main object, among the pods of its namespace: the object itself for a plain pod; else what the operator's
 * status names, or (Apache, whose status names none) what its labels and its name say, the latest attempt first.
 *
 * A pod counts only where an owner reference holds the main object's UID. That keeps out a predecessor's pods and chance
 * namesakes. It does not keep out somebody who may create pods in that namespace and forges reference, labels and name;
 * for kubeflow's kinds the operator's status must name the pod besides, for Apache's it need not. Such a person can read
 * the driver's Secret by mounting it in any case: a namespace is one circle of trust.
 */
export function podOf(
  kind: DriverKind,
  main: Stored<DriverResource> | Stored<Pod>,
  pods: readonly Stored<Pod>[],
): Stored<Pod> | undefined {
  if (kind === "pod") return main;
  const owned = pods.filter((pod) => isOwned(pod, main));
  switch (kind) {
    case "spark-application":
      return named(owned, main.status, "driverInfo");
    case "spark-connect":
      return named(owned, main.status, "server");
    case "apache-spark-application":
      return latestAttempt(owned, main.metadata.name);
  }
}

function isOwned(pod: Stored<Pod>, { metadata }: Stored): boolean {
  if (pod.metadata.namespace !== metadata.namespace) return false;
  return pod.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid) === true;
}

/** @param part of the status, in which the operator names the pod */
function named(owned: readonly Stored<Pod>[], status: object | undefined, part: string): Stored<Pod> | undefined {
  const told: unknown = status === undefined ? undefined : Reflect.get(status, part);
  if (typeof told !== "object" || told === null || !("podName" in told)) return undefined;
  return owned.find((pod) => pod.metadata.name === told.podName);
}

function latestAttempt(owned: readonly Stored<Pod>[], name: string): Stored<Pod> | undefined {
  const attempts = owned
    .map((pod) => ({ pod, attempt: attemptOf(pod, name) }))
    .filter(({ attempt }) => attempt !== undefined)
    .sort((a, b) => (b.attempt ?? 0) - (a.attempt ?? 0));
  return attempts[0]?.pod;
}

/** The attempt in `<name>-<attempt>-driver`; -1 for a driver's pod of another name that our or Spark's labels tell. */
function attemptOf({ metadata }: Stored<Pod>, name: string): number | undefined {
  const { labels } = metadata;
  if (labels?.["spark-role"] !== "driver") return undefined;
  const middle =
    metadata.name.startsWith(`${name}-`) && metadata.name.endsWith("-driver")
      ? metadata.name.slice(name.length + 1, -"-driver".length)
      : "";
  if (/^\d{1,9}$/.test(middle)) return Number(middle);
  const byLabel = labels["spark.operator/spark-app-name"] === name || labels[label.driver] === name;
  return byLabel ? -1 : undefined;
}

/** The state of the container that Spark runs in: the one of a known name, else the first of the pod's specification. */
export function driverContainer(pod: Pod): ContainerStatus | undefined {
  const statuses = pod.status?.containerStatuses ?? [];
  const byName = (name: unknown) => statuses.find((status) => status.name === name);
  return (
    statuses.find(({ name }) => sparkContainers.includes(name)) ??
    byName(pod.spec?.containers?.[0]?.["name"]) ??
    statuses[0]
  );
}

/** Names one life of a pod's driver: the pod's UID, and `-r<n>` once its container was restarted n times. */
export function podIncarnation(pod: Stored<Pod>): string {
  const restarts = driverContainer(pod)?.restartCount ?? 0;
  return restarts > 0 ? `${pod.metadata.uid}-r${restarts}` : pod.metadata.uid;
}
