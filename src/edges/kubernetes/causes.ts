import { meaningfulLine } from "./causes-log.ts";
import { operatorFailure } from "./causes-operator.ts";
import { eventsFailure, lastSeen, waitingFailure } from "./causes-pod.ts";
import { safeLine, without } from "./causes-text.ts";
import type { ContainerStatus } from "./objects.ts";
import { condition, isDeleting, lastsSince, timeOf } from "./observe-pod.ts";
import type { DriverObjects, Found, StartFailure, StartLimits } from "./observe-types.ts";
import { driverContainer } from "./pod-of.ts";

/**
 * Why the start of a driver that was never ready has failed; undefined while it may still succeed. What the pod says comes
 * first, since it is nearest to the cause; then the operator's status, then events, then the time limit.
 * @param now ms since the epoch
 */
export function startFailure(objects: DriverObjects, now: number, limits: StartLimits): StartFailure | undefined {
  if (causeOf(objects, now, limits) === undefined) return undefined;
  // Before anything is cut: half a token would not be found any more.
  const found = causeOf(withoutToken(objects), now, limits);
  if (found === undefined) return undefined;
  return { summary: safeLine(found.summary), exitCode: found.exitCode, at: Math.min(now, found.at ?? now) };
}

function causeOf(all: DriverObjects, now: number, limits: StartLimits): Found | undefined {
  // A pod that is being deleted ends as it must; an operator makes another.
  const objects = all.pod !== undefined && isDeleting(all.pod) ? { ...all, pod: undefined } : all;
  return (
    ended(objects) ??
    waitingFailure(objects, now, limits) ??
    unschedulable(objects, now, limits) ??
    operatorFailure(objects) ??
    eventsFailure(objects) ??
    tooLate(objects, now, limits)
  );
}

/** The same objects, the token blotted out in all that is repeated in messages. */
function withoutToken(objects: DriverObjects): DriverObjects {
  const { pod, main, events, logTail, token } = objects;
  const clean = <T>(value: T): T =>
    JSON.parse(JSON.stringify(value), (_, one: unknown) => (typeof one === "string" ? without(token, one) : one));
  return {
    ...objects,
    main: main.status === undefined ? main : { ...main, status: clean(main.status) },
    pod: pod?.status === undefined ? pod : { ...pod, status: clean(pod.status) },
    events: clean(events),
    logTail: clean(logTail),
  };
}

function ended({ pod, logTail }: DriverObjects): Found | undefined {
  if (pod === undefined) return undefined;
  const { status } = pod;
  if (status?.reason === "Evicted") {
    return {
      summary: `the driver's pod was evicted: ${status.message ?? "no reason given"}; ask for less or try again`,
    };
  }
  const over = status?.phase === "Failed" || status?.phase === "Succeeded";
  const container = driverContainer(pod);
  const dead =
    container?.state?.terminated ?? (isCrashLooping(container) ? container?.lastState?.terminated : undefined);
  const init = status?.initContainerStatuses?.find(failedInit);
  if (init !== undefined && (over || isCrashLooping(init))) {
    const exitCode = (init.state?.terminated ?? init.lastState?.terminated)?.exitCode;
    return {
      summary: `the init container "${init.name}" failed${exitCode === undefined ? "" : ` with exit code ${exitCode}`}`,
      exitCode,
    };
  }
  if (dead === undefined) {
    if (isCrashLooping(container)) return { summary: "the driver's container ends again and again (CrashLoopBackOff)" };
    if (!over) return undefined;
    const said = [status?.reason, status?.message].filter(Boolean).join(": ");
    return { summary: `the driver's pod ended (${status?.phase})${said === "" ? "" : `: ${said}`}` };
  }
  if (!over && !isCrashLooping(container) && pod.spec?.["restartPolicy"] !== "Never") return undefined;
  const cause = meaningfulLine(logTail.length > 0 ? logTail : (dead.message ?? "").split("\n"));
  return {
    ...exitSummary(dead, isCrashLooping(container), cause),
    exitCode: dead.exitCode,
    at: timeOf(dead.finishedAt),
  };
}

const isCrashLooping = (container: ContainerStatus | undefined): boolean =>
  container?.state?.waiting?.reason === "CrashLoopBackOff";

const failedInit = ({ state, lastState }: ContainerStatus): boolean =>
  ((state?.terminated ?? lastState?.terminated)?.exitCode ?? 0) !== 0;

function exitSummary(
  { exitCode, reason }: { readonly exitCode: number; readonly reason?: string },
  again: boolean,
  cause: string | undefined,
): Pick<Found, "summary"> {
  const said = cause === undefined ? "" : `: ${cause}`;
  if (reason === "OOMKilled") {
    return {
      summary: `the driver used more memory than its pod may have and was killed (OOMKilled, exit code ${exitCode}); give it more memory or overhead`,
    };
  }
  const loop = again ? " again and again (CrashLoopBackOff)" : "";
  const why = reason === undefined || reason === "Error" || reason === "Completed" ? "" : ` (${reason})`;
  if (exitCode === 0)
    return { summary: `the driver ended by itself${loop} before its Spark Connect server was ready${said}` };
  return { summary: `the driver ended${loop} with exit code ${exitCode}${why}${said}` };
}

function unschedulable({ pod, events, seenAt }: DriverObjects, now: number, limits: StartLimits): Found | undefined {
  const scheduled = condition(pod, "PodScheduled");
  if (pod === undefined || scheduled?.status !== "False") return undefined;
  if (scheduled.reason !== "Unschedulable" && scheduled.reason !== "SchedulingGated") return undefined;
  const since = lastsSince(scheduled.lastTransitionTime ?? pod.metadata.creationTimestamp, seenAt, now);
  if (since === undefined || now - since < limits.unschedulableGraceMs) return undefined;
  const said =
    scheduled.message ?? events.findLast(({ reason }) => reason === "FailedScheduling")?.message ?? scheduled.reason;
  return {
    summary: `no node can take the driver's pod: ${safeLine(said, 320)}; ask for fewer cores or less memory, or add nodes`,
    at: since + limits.unschedulableGraceMs,
  };
}

function tooLate(objects: DriverObjects, now: number, { startTimeoutMs, port }: StartLimits): Found | undefined {
  const since = lastsSince(objects.main.metadata.creationTimestamp, objects.seenAt, now);
  if (since === undefined || now - since < startTimeoutMs) return undefined;
  const seconds = Math.round(startTimeoutMs / 1_000);
  return {
    summary: `the driver was not ready within ${seconds} s; last seen: ${lastSeen(objects, port)}`,
    at: since + startTimeoutMs,
  };
}
