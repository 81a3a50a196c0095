import type { ContainerState, ContainerStatus, PodCondition } from "../../../src/edges/kubernetes/objects.ts";
import type { AgentPod } from "./kubelet-types.ts";

/** What a pod's container is doing, in one value; the status that a kubelet reports follows from it. */
export interface Observed {
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed";
  /** Of the container that counts: the first. The others are reported to do the same. */
  readonly state: ContainerState;
  readonly lastState?: ContainerState | undefined;
  readonly restarts: number;
  readonly ready: boolean;
  readonly ip: string | undefined;
  /** Of the pod: "Evicted". */
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
}

/** The status that a kubelet reports. Transition times move only where a condition's status does. */
export function podStatus(pod: AgentPod, observed: Observed, now: string): Readonly<Record<string, unknown>> {
  const ended = observed.phase === "Succeeded" || observed.phase === "Failed";
  const notReady = ended
    ? { reason: observed.phase === "Succeeded" ? "PodCompleted" : "PodFailed" }
    : { reason: "ContainersNotReady", message: `containers with unready status: [${names(pod).join(" ")}]` };
  const readiness = observed.ready ? { status: "True" as const } : { status: "False" as const, ...notReady };
  const conditions: readonly PodCondition[] = [
    { type: "PodReadyToStartContainers", status: observed.ip === undefined || ended ? "False" : "True" },
    { type: "Initialized", status: "True" },
    { type: "Ready", ...readiness },
    { type: "ContainersReady", ...readiness },
    { type: "PodScheduled", status: "True" },
  ];
  return {
    phase: observed.phase,
    reason: observed.reason ?? null,
    message: observed.message ?? null,
    conditions: conditions.map((condition) => withTime(condition, pod, now)),
    hostIP: "127.0.0.1",
    startTime: pod.status?.startTime ?? now,
    ...(observed.ip === undefined ? {} : { podIP: observed.ip, podIPs: [{ ip: observed.ip }] }),
    containerStatuses: pod.spec.containers.map((container) => ({
      ...containerStatus(container.name, observed),
      image: container.image ?? "",
      imageID: observed.state.waiting === undefined ? `test/${container.image ?? ""}` : "",
      ...(observed.state.waiting === undefined ? { containerID: `test://${pod.metadata.uid}` } : {}),
    })),
  };
}

/** The scheduler's word on a pod that fits nowhere. */
export function unschedulable(pod: AgentPod, now: string): Readonly<Record<string, unknown>> {
  const condition: PodCondition = {
    type: "PodScheduled",
    status: "False",
    reason: "Unschedulable",
    message:
      "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, " +
      "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
  };
  return { phase: "Pending", conditions: [withTime(condition, pod, now)] };
}

const names = (pod: AgentPod): readonly string[] => pod.spec.containers.map(({ name }) => name);

function containerStatus(name: string, observed: Observed): ContainerStatus & { readonly started: boolean } {
  return {
    name,
    ready: observed.ready,
    started: observed.state.running !== undefined,
    restartCount: observed.restarts,
    state: observed.state,
    lastState: observed.lastState ?? {},
  };
}

function withTime(condition: PodCondition, pod: AgentPod, now: string): PodCondition {
  const before = pod.status?.conditions?.find(({ type }) => type === condition.type);
  const same = before?.status === condition.status && before.lastTransitionTime !== undefined;
  return { ...condition, lastTransitionTime: same ? (before.lastTransitionTime ?? now) : now };
}
