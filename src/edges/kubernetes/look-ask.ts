import type { Driver } from "../../drivers/driver.ts";
import { condition, isDeleting, wasReady } from "./observe-pod.ts";
import type { DriverObjects, ObservedDriver } from "./observe-types.ts";
import { podAddress } from "./pod-address.ts";
import { driverContainer } from "./pod-of.ts";
import type { Entry, World } from "./world.ts";

/** Before that a pod or a resource without one is no reason to ask for events. ms */
const suspiciousAfterMs = 2_000;
/** How long a failure is held back for the log that explains it. ms */
const logLimitMs = 3_000;

/** Asks for what the watches do not tell: whether the driver answers, and events where a start is slow. */
export function ask(
  world: World,
  entry: Entry,
  objects: DriverObjects,
  { driver, callable }: Pick<ObservedDriver, "driver" | "callable">,
): void {
  const { prober, diagnoser, options } = world;
  const { pod, main } = objects;
  if (driver.phase !== "starting") {
    // Once it was ready, or has failed, nothing depends on the answer.
    stopAsking(world, entry);
    return;
  }
  const host = callable ? podAddress(pod) : undefined;
  const since = `${pod?.metadata.uid} ${condition(pod, "Ready")?.lastTransitionTime ?? ""}`;
  const target = host === undefined ? undefined : { host, port: options.port, token: driver.token, since };
  prober.want(entry.uid, target);
  if (objects.refusal !== undefined) sayRefusal(world, entry, objects.refusal);
  const slow = options.clock.now() - entry.seenAt > suspiciousAfterMs;
  const pending = pod === undefined || pod.status?.phase === undefined || pod.status.phase === "Pending";
  const uids = [...new Set([main.metadata.uid, ...(pod === undefined ? [] : [pod.metadata.uid])])];
  diagnoser.suspect(entry.uid, slow && pending ? { namespace: entry.namespace, uids } : undefined);
}

/** Once for each status: what is wrong with it stays wrong until somebody mends it. */
function sayRefusal({ options }: World, { name, uid, notes }: Entry, status: string): void {
  const what = "a driver accepts connections but did not answer its first call; it is called until it does";
  if (notes.has(`${what} ${status}`)) return;
  notes.add(`${what} ${status}`);
  options.log.warn(what, { driver: name, driver_uid: uid, status });
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
