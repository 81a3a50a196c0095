import { operatorState } from "./causes-operator.ts";
import { safeLine } from "./causes-text.ts";
import { annotation } from "./labels.ts";
import type { ContainerStatus, KubeEvent, Pod } from "./objects.ts";
import { condition, lastsSince, timeOf } from "./observe-pod.ts";
import type { DriverObjects, Found, StartLimits } from "./observe-types.ts";

/** What the containers wait for, where that will not come. */
export function waitingFailure(objects: DriverObjects, now: number, limits: StartLimits): Found | undefined {
  const { pod } = objects;
  for (const container of containersOf(pod)) {
    const found = pod === undefined ? undefined : waiting(container, pod, objects, { now, limits });
    if (found !== undefined) return found;
  }
  return undefined;
}

const containersOf = (pod: Pod | undefined): readonly ContainerStatus[] => [
  ...(pod?.status?.initContainerStatuses ?? []),
  ...(pod?.status?.containerStatuses ?? []),
];

function waiting(
  container: ContainerStatus,
  pod: Pod,
  { events, seenAt }: DriverObjects,
  { now, limits }: { readonly now: number; readonly limits: StartLimits },
): Found | undefined {
  const { reason, message } = container.state?.waiting ?? {};
  const said = message === undefined || message === reason ? "" : `: ${safeLine(message, 260)}`;
  const dated = condition(pod, "PodScheduled")?.lastTransitionTime ?? pod.metadata.creationTimestamp;
  const since = lastsSince(dated, seenAt, now);
  const waitedLong = since !== undefined && now - since >= limits.unschedulableGraceMs;
  switch (reason) {
    case "ErrImagePull":
      // The first try may have met a registry's bad moment; kubelet tries again at once.
      return waitedLong || failedPulls(events) > 1 ? imageFailure(container, pod, reason) : undefined;
    case "ImagePullBackOff":
    case "InvalidImageName":
    case "ErrImageNeverPull":
    case "ImageInspectError":
      return imageFailure(container, pod, reason);
    case "CreateContainerConfigError":
    case "CreateContainerError":
    case "RunContainerError":
      // A Secret may come a moment after the pod that names it.
      if (!waitedLong) return undefined;
      return { summary: `the container "${container.name}" cannot be made (${reason})${said}` };
    case undefined:
    default:
      return undefined;
  }
}

function imageFailure(container: ContainerStatus, pod: Pod, reason: string): Found {
  const image = imageOf(container, pod);
  const name =
    image === undefined ? `the image of container "${container.name}"` : `the image "${safeLine(image, 150)}"`;
  const { message = reason } = container.state?.waiting ?? {};
  const said = message === reason ? "" : `: ${pullCause(message)}`;
  const what = reason === "InvalidImageName" ? "is not a valid image name" : `cannot be pulled (${reason})`;
  return { summary: `${name} ${what}${said}; correct the image or its pull secret` };
}

const maxPullCause = 240;

/** What the registry said stands at the end, after all who pass it on. */
function pullCause(message: string): string {
  const all = safeLine(message, 8_192);
  const cause = all.replace(/^Back-off pulling image "[^"]*": /, "").replace(/^ErrImagePull: /, "");
  const text = cause.replace(/^rpc error: code = \w+ desc = /, "");
  return text.length <= maxPullCause ? text : `...${text.slice(3 - maxPullCause)}`;
}

/** What was asked for: the status may name a digest, or nothing yet. */
function imageOf({ name, image }: ContainerStatus, { spec }: Pod): string | undefined {
  const asked = spec?.containers?.find((container) => container["name"] === name)?.["image"];
  return typeof asked === "string" && asked !== "" ? asked : image || undefined;
}

function failedPulls(events: readonly KubeEvent[]): number {
  return events
    .filter(({ reason, message }) => reason === "Failed" && message?.startsWith("Failed to pull image") === true)
    .reduce((sum, { count }) => sum + (count ?? 1), 0);
}

const refusals = /exceeded quota|forbidden|denied|admission webhook|failed quota/i;

/** A controller that may not make the pod says so only in an event. */
export function eventsFailure({ events, pod, main }: DriverObjects): Found | undefined {
  if (pod !== undefined && pod.metadata.uid !== main.metadata.uid) return undefined;
  const event = events.findLast(
    ({ type, reason, message = "" }) => type === "Warning" && reason === "FailedCreate" && refusals.test(message),
  );
  if (event === undefined) return undefined;
  const advice = /quota/i.test(event.message ?? "")
    ? "ask for less or have the quota raised"
    : "the cluster's rules forbid it";
  return {
    summary: `the driver's pod may not be created: ${safeLine(event.message ?? "", 340)}; ${advice}`,
    at: timeOf(event.lastTimestamp),
  };
}

/** Where a start stands, for the message that it took too long. */
export function lastSeen(objects: DriverObjects, port: number): string {
  const { pod, answers, refusal, token, events } = objects;
  const warning = newestWarning(events);
  const also =
    warning === undefined ? "" : `; ${safeLine(`${warning.reason ?? "warning"}: ${warning.message ?? ""}`, 240)}`;
  if (pod === undefined) {
    const state = operatorState(objects);
    const operator =
      state === undefined
        ? "its operator has not looked at it (is the operator running?)"
        : `the operator says ${state}`;
    return `no pod yet, ${operator}${also}`;
  }
  const waits = containersOf(pod).find(({ state }) => state?.waiting !== undefined);
  const reason = waits?.state?.waiting?.reason;
  if (reason !== undefined) return `container "${waits?.name}" waiting (${reason})${also}`;
  if (condition(pod, "PodScheduled")?.status !== "True" && pod.spec?.nodeName === undefined) {
    return `the pod waits for a node${also}`;
  }
  if (pod.status?.phase !== "Running") return `the pod is ${pod.status?.phase ?? "new"}${also}`;
  if (condition(pod, "Ready")?.status !== "True") return `the pod runs and is not ready${also}`;
  if (refusal !== undefined) {
    return `the pod is ready and accepts connections at port ${port}, but did not answer a first call (${refusal})`;
  }
  // Without its token it is not called at all.
  if (token === undefined && namesToken(objects)) return "the Secret with the driver's token is missing";
  return answers
    ? "the pod is ready"
    : `the pod is ready and its port ${port} cannot be reached from Gatehouse (a NetworkPolicy?)`;
}

/** Whether a driver that Gatehouse started has a token: its facts name the Secret. */
const namesToken = ({ main }: DriverObjects): boolean =>
  main.metadata.annotations?.[annotation.facts]?.includes('"tokenSecret":') === true;

function newestWarning(events: readonly KubeEvent[]): KubeEvent | undefined {
  return events
    .filter(({ type }) => type === "Warning")
    .toSorted((a, b) => (timeOf(a.lastTimestamp) ?? 0) - (timeOf(b.lastTimestamp) ?? 0))
    .at(-1);
}
