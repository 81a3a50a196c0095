import { safeLine } from "./causes-text.ts";
import { annotation } from "./labels.ts";
import type { KubeObject, Pod, PodCondition } from "./objects.ts";
import type { DriverObjects } from "./observe-types.ts";
import { podAddress } from "./pod-address.ts";
import { driverContainer, podIncarnation } from "./pod-of.ts";

/** Times in a pod's status are whole seconds, of several clocks. */
const skewMs = 3_000;

export const isDeleting = ({ metadata }: KubeObject): boolean => metadata.deletionTimestamp !== undefined;

export function condition(pod: Pod | undefined, type: string): PodCondition | undefined {
  return pod?.status?.conditions?.find((one) => one.type === type);
}

/** A time of the API, ms since the epoch; undefined where it is missing or makes no sense. */
export function timeOf(text: string | undefined): number | undefined {
  const at = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}

/**
 * Since when something lasts that another machine's clock has dated, by ours: not before we saw the object first, and from then
 * on where the time lies ahead. So clocks that differ neither cut a limit short nor stretch it; a replica that has just
 * started measures anew.
 */
export function lastsSince(dated: string | undefined, seenAt: number | undefined, now: number): number | undefined {
  const at = timeOf(dated);
  if (at === undefined || seenAt === undefined) return at;
  return at > now ? seenAt : Math.max(at, seenAt);
}

/** Whether it can be sent its first call: a Ready pod with an address, whose token, if it has one, is known. */
export function isCallable({ pod, token }: DriverObjects, tokenSecret: string | undefined): boolean {
  if (pod === undefined || podAddress(pod) === undefined || isDeleting(pod)) return false;
  if (tokenSecret !== undefined && token === undefined) return false;
  return condition(pod, "Ready")?.status === "True";
}

/** Which life of which pod was the first to be ready, as far as somebody saw or noted it. */
function firstPod({ firstPodUid, main }: DriverObjects): string | undefined {
  return firstPodUid ?? main.metadata.annotations?.[annotation.pod];
}

/** Whether it was ready before: seen by us, noted on the main object, or told by the pod's own history. */
export function wasReady(objects: DriverObjects): boolean {
  return firstPod(objects) !== undefined || lostReadiness(objects.pod);
}

/**
 * Kubelet sets Ready to False before a container starts; one that turned False after that was True in between. Needed by a
 * replica that starts while a driver misses its probes.
 */
function lostReadiness(pod: Pod | undefined): boolean {
  const ready = condition(pod, "Ready");
  if (pod === undefined || ready?.status !== "False" || podAddress(pod) === undefined) return false;
  const turned = timeOf(ready.lastTransitionTime);
  const began = timeOf(driverContainer(pod)?.state?.running?.startedAt);
  return turned !== undefined && began !== undefined && turned > began + skewMs;
}

/** Why a driver that was ready is gone; undefined while it runs. Spark's sessions do not outlive its process. */
export function deathOf(objects: DriverObjects): string | undefined {
  const { pod } = objects;
  const first = firstPod(objects);
  if (pod === undefined) return "the driver's pod is gone";
  const container = driverContainer(pod);
  const ended = container?.state?.terminated;
  if (pod.status?.reason === "Evicted")
    return safeLine(`the driver's pod was evicted: ${pod.status.message ?? "no reason given"}`);
  if (ended !== undefined) return endedBy(ended.exitCode, ended.reason);
  if (first !== undefined && first !== podIncarnation(pod)) {
    const last = first.startsWith(pod.metadata.uid) ? container?.lastState?.terminated : undefined;
    if (last !== undefined) return `${endedBy(last.exitCode, last.reason)}, and its container was restarted`;
    return first.startsWith(pod.metadata.uid)
      ? "the driver's container was restarted"
      : "the driver's pod was replaced";
  }
  if (isDeleting(pod)) return "somebody deleted the driver's pod";
  const { phase, reason, message } = pod.status ?? {};
  if (phase !== "Failed" && phase !== "Succeeded") return undefined;
  return safeLine(`the driver's pod ended (${[phase, reason, message].filter(Boolean).join(", ")})`);
}

function endedBy(exitCode: number, reason: string | undefined): string {
  if (reason === "OOMKilled") return "the driver used more memory than its pod may have and was killed (OOMKilled)";
  const signal = exitCode > 128 && exitCode < 160 ? `, signal ${exitCode - 128}` : "";
  return `the driver ended with exit code ${exitCode}${signal}`;
}
