import type { Draining, Driver, DriverEnd, DriverFailure } from "../../drivers/driver.ts";
import type { DriverRef, DriverSink } from "../../drivers/runtime.ts";
import type { Diagnoser } from "./diagnose.ts";
import type { Drift } from "./drift.ts";
import type { Election } from "./election.ts";
import type { MainObject, ObjectIndex } from "./index-objects.ts";
import type { Watches } from "./index-watches.ts";
import type { KubernetesRuntimeOptions } from "./options.ts";
import type { Prober } from "./probe.ts";

/** What one runtime knows. */
export interface World {
  readonly options: KubernetesRuntimeOptions;
  readonly index: ObjectIndex;
  readonly watches: Watches;
  readonly election: Election;
  readonly prober: Prober;
  readonly diagnoser: Diagnoser;
  readonly drift: Drift;
  /** By the main object's UID. */
  readonly entries: Map<string, Entry>;
  /** The UIDs among them that others made. */
  readonly discovered: Set<string>;
  readonly sinks: Set<DriverSink>;
  /** Ends that were found before anybody watched. */
  readonly earlierEnds: DriverEnd[];
  /** Called after each change of the index or of what is reported. */
  readonly listeners: Set<() => void>;
  /** Names (`namespace/name`) whose start is being ordered. */
  readonly ordering: Set<string>;
  /** Stops under way, by the main object's UID. */
  readonly stopping: Map<string, Promise<void>>;
  /** Aborted by `close`. */
  readonly over: AbortController;
  /** Every driver that existed at the start has been reported. */
  synced: boolean;
  /** The leader's housekeeping for one incarnation that has changed. */
  tidy: (uid: string) => void;
}

/** One incarnation, from the first sight of its main object until nothing of it is left. */
export interface Entry {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** ms since the epoch */
  readonly seenAt: number;
  /** Whether its facts are proved to be ours. */
  sealed: boolean;
  /** `podIncarnation` of the pod that was ready first. */
  firstPodUid: string | undefined;
  failed: DriverFailure | undefined;
  /** When a failure was first seen whose log is still being read. ms */
  failingSince: number | undefined;
  /** Set once its end was ordered here. */
  stopOrdered: Draining["reason"] | undefined;
  /** As reported last. */
  driver: Driver | undefined;
  /** Set once its end is known; told already, or (a failed start) when nothing is left of it. */
  end: DriverEnd | undefined;
  endTold: boolean;
  /** Why it is not served; said once. */
  foreign: string | undefined;
  /** The facts as they stood when a seal was found to prove them. */
  provedFacts: string | undefined;
  readonly notes: Set<string>;
  cancelTimer: () => void;
}

export function report(world: World, entry: Entry, driver: Driver): void {
  entry.driver = driver;
  if (world.synced) for (const sink of world.sinks) sink.upsert(driver);
}

/** The end of an incarnation is told once. */
export function tellEnd(world: World, entry: Entry, end: DriverEnd): void {
  if (entry.endTold) return;
  entry.end = end;
  entry.endTold = true;
  world.options.log.info("driver ended", {
    driver: entry.name,
    driver_uid: entry.uid,
    cause: end.cause,
    summary: end.summary,
  });
  if (!world.synced || world.sinks.size === 0) world.earlierEnds.push(end);
  else for (const sink of world.sinks) sink.remove(end);
}

export function changed(world: World): void {
  for (const listener of world.listeners) listener();
}

/**
 * Resolves when the condition holds; it is looked at after each change, and at the limit.
 * @returns whether it held within the limit @throws the signal's reason when that aborts first
 */
export async function untilHolds(
  world: World,
  condition: () => boolean,
  { limitMs, signal }: { readonly limitMs: number; readonly signal: AbortSignal },
): Promise<boolean> {
  signal.throwIfAborted();
  if (condition()) return true;
  return await new Promise<boolean>((resolve, reject) => {
    const leave = () => {
      world.listeners.delete(look);
      cancel();
      signal.removeEventListener("abort", giveUp);
    };
    const look = () => {
      if (!condition()) return;
      leave();
      resolve(true);
    };
    const giveUp = () => {
      leave();
      reject(signal.reason as Error);
    };
    const cancel = world.options.clock.after(limitMs, () => {
      leave();
      resolve(condition());
    });
    world.listeners.add(look);
    signal.addEventListener("abort", giveUp, { once: true });
  });
}

/** Whether this entry holds its name: a driver that starts or serves. */
export const isPresent = (entry: Entry): entry is Entry & { readonly driver: Driver } =>
  entry.end === undefined && entry.driver !== undefined && entry.driver.phase !== "failed";

/** The main object of that incarnation, where it is known and not known to have ended. */
export function findMain({ index, entries }: World, ref: DriverRef): MainObject | undefined {
  // A discovered pod whose container was restarted is another incarnation of the same object.
  const uid = ref.uid.replace(/-r\d+$/, "");
  const main = index.main(uid);
  const entry = entries.get(uid);
  if (main === undefined || main.object.metadata.name !== ref.name) return undefined;
  return entry?.driver === undefined || entry.driver.uid !== ref.uid ? undefined : main;
}
