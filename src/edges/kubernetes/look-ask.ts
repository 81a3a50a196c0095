import type { Driver } from "../../drivers/driver.ts";
import { condition, isDeleting, wasReady } from "./observe-pod.ts";
import type { DriverObjects } from "./observe-types.ts";
import { podAddress } from "./pod-address.ts";
import { driverContainer } from "./pod-of.ts";
import type { Entry, World } from "./world.ts";

/** Before that a pod or a resource without one is no reason to ask for events. ms */
const suspiciousAfterMs = 2_000;
/** How long a failure is held back for the log that explains it. ms */
const logLimitMs = 3_000;

/** Asks for what the watches do not tell: whether the port is open, and events where a start is slow. */
export function ask(world: World, entry: Entry, objects: DriverObjects, { phase }: Driver): void {
  const { prober, diagnoser, options } = world;
  const { pod, main } = objects;
  if (phase !== "starting") {
    // Once it was ready, or has failed, nothing depends on the answer.
    stopAsking(world, entry);
    return;
  }
  const ready = condition(pod, "Ready");
  const host = podAddress(pod);
  const target =
    pod === undefined || host === undefined || ready?.status !== "True"
      ? undefined
      : { host, port: options.port, since: `${pod.metadata.uid} ${ready.lastTransitionTime ?? ""}` };
  prober.want(entry.uid, target);
  const slow = options.clock.now() - entry.seenAt > suspiciousAfterMs;
  const pending = pod === undefined || pod.status?.phase === undefined || pod.status.phase === "Pending";
  const uids = [...new Set([main.metadata.uid, ...(pod === undefined ? [] : [pod.metadata.uid])])];
  diagnoser.suspect(entry.uid, slow && pending ? { namespace: entry.namespace, uids } : undefined);
}

export function stopAsking({ prober, diagnoser }: World, { uid }: Entry): void {
  prober.want(uid, undefined);
  diagnoser.suspect(uid, undefined);
}

/** Whether all that explains a failure has been read: its log, where a container ran at all. */
export function isExplained(world: World, entry: Entry, objects: DriverObjects, { phase }: Driver): boolean {
  const { diagnoser, options } = world;
  const { pod } = objects;
  if (phase !== "failed" || entry.failed !== undefined || pod === undefined || wasReady(objects)) return true;
  const container = driverContainer(pod);
  const ran = container?.state?.terminated ?? container?.lastState?.terminated ?? container?.state?.running;
  if (ran === undefined || isDeleting(pod)) return true;
  entry.failingSince ??= options.clock.now();
  diagnoser.readLog(entry.uid, { namespace: entry.namespace, pod: pod.metadata.name, container: container?.name });
  return diagnoser.logOf(entry.uid) !== undefined || options.clock.now() - entry.failingSince > logLimitMs;
}
