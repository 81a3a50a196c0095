import type { Driver, DriverEnd } from "../../drivers/driver.ts";
import { sameDriver } from "../../drivers/same-driver.ts";
import { nameOf } from "./facts.ts";
import type { MainObject } from "./index-objects.ts";
import { ask, isExplained, stopAsking } from "./look-ask.ts";
import { objectsOf, observeMain } from "./look-objects.ts";
import { endOf } from "./observe.ts";
import type { DriverObjects } from "./observe-types.ts";
import { changed, type Entry, report, tellEnd, type World } from "./world.ts";

/** How often a driver that starts is judged anew without any change: time limits. ms */
const lookEveryMs = 1_000;

/**
 * Judges these incarnations by what the index holds now, and reports what is new. Cheap: a few look-ups for each. Never
 * throws: one whose objects make no sense must not hide the others, nor end the process from a timer.
 */
export function lookAt(world: World, uids: Iterable<string>): void {
  for (const uid of uids) {
    try {
      lookAtOne(world, uid);
      world.tidy(uid);
    } catch (error) {
      world.options.log.error("a driver's objects could not be judged", { driver_uid: uid, error });
    }
  }
  changed(world);
}

function lookAtOne(world: World, uid: string): void {
  const main = world.index.main(uid);
  const entry = world.entries.get(uid) ?? (main === undefined ? undefined : newEntry(world, main));
  if (entry === undefined) return;
  entry.cancelTimer();
  if (main === undefined) {
    lookAtGone(world, entry);
    return;
  }
  if (entry.endTold && main.source !== "discovered") return;
  const objects = objectsOf(world, entry, main);
  entry.sealed = objects.sealed;
  const observed = observeMain(world, main, objects);
  switch (observed.what) {
    case "ended":
      stopAsking(world, entry);
      end(world, entry, observed.end);
      return;
    case "foreign":
      stopAsking(world, entry);
      foreign(world, entry, objects.sealed || main.source === "discovered", observed.why);
      return;
    case "driver":
      if (entry.endTold && entry.end?.uid === observed.driver.uid) return;
      if (isOurSession(world, main, observed.driver)) {
        displace(world, entry);
        return;
      }
      for (const note of observed.notes) noteOnce(world, entry, note);
      nextLife(world, entry, observed.driver);
      entry.firstPodUid ??= observed.readyPod;
      ask(world, entry, objects, observed);
      tellWhenExplained(world, entry, objects, observed.driver);
  }
}

/** Whether a discovered driver claims a session for which there is a driver of ours: that one has the better proof. */
function isOurSession(world: World, { source }: MainObject, { key }: Driver): boolean {
  if (source !== "discovered") return false;
  return world.index.named(key.namespace, nameOf(key)).some(({ source: other, object }) => {
    const own = other === "discovered" ? undefined : world.entries.get(object.metadata.uid);
    return own?.driver !== undefined && own.end === undefined;
  });
}

function displace(world: World, entry: Entry): void {
  const why = "a driver that Gatehouse started has its session";
  stopAsking(world, entry);
  noteOnce(world, entry, why);
  if (entry.driver === undefined) return;
  tellEnd(world, entry, endOf(entry.driver, "vanished", why, world.options.clock.now()));
  renew(entry);
}

/** Discovered drivers have to give way to one of ours, and come back after it. */
function lookAtRivals(world: World, entry: Entry): void {
  if (!world.discovered.has(entry.uid)) for (const uid of world.discovered) lookAtOne(world, uid);
}

/** A discovered pod whose container was restarted: another incarnation of the same object. */
function nextLife(world: World, entry: Entry, driver: Driver): void {
  const { driver: before } = entry;
  if (before === undefined || before.uid === driver.uid) return;
  const summary = "the driver's container was restarted";
  tellEnd(world, entry, entry.end ?? endOf(before, "died", summary, world.options.clock.now()));
  renew(entry);
}

function renew(entry: Entry): void {
  entry.end = undefined;
  entry.endTold = false;
  entry.driver = undefined;
  entry.failed = undefined;
  entry.firstPodUid = undefined;
}

function newEntry(world: World, { source, object }: MainObject): Entry {
  const { uid, name, namespace = "" } = object.metadata;
  const entry: Entry = {
    uid,
    namespace,
    name,
    seenAt: world.options.clock.now(),
    sealed: false,
    firstPodUid: undefined,
    failed: undefined,
    failingSince: undefined,
    stopOrdered: undefined,
    driver: undefined,
    end: undefined,
    endTold: false,
    foreign: undefined,
    provedFacts: undefined,
    notes: new Set(),
    cancelTimer: () => {},
  };
  world.entries.set(uid, entry);
  if (source === "discovered") world.discovered.add(uid);
  return entry;
}

function tellWhenExplained(world: World, entry: Entry, objects: DriverObjects, driver: Driver): void {
  const explained = isExplained(world, entry, objects, driver);
  if (explained) tell(world, entry, driver);
  if (!explained || driver.phase === "starting") lookLater(world, entry);
}

function tell(world: World, entry: Entry, driver: Driver): void {
  entry.failed = driver.failure;
  const { driver: before } = entry;
  if (before !== undefined && sameDriver(before, driver)) return;
  if (before?.phase !== driver.phase) sayPhase(world, entry, driver);
  const main = world.index.main(entry.uid);
  if (main !== undefined && world.drift.note(main.object, driver.profile)) {
    world.options.log.info("a driver was made from another template than its profile has now", {
      driver: entry.name,
      driver_uid: entry.uid,
      profile: driver.profile,
    });
  }
  report(world, entry, driver);
  if (before === undefined) lookAtRivals(world, entry);
}

function sayPhase({ options: { log } }: World, { name, uid }: Entry, { phase, address, failure }: Driver): void {
  const of = { driver: name, driver_uid: uid };
  if (phase === "failed") log.warn("driver failed to start", { ...of, summary: failure?.summary });
  else log.info(`driver is ${phase}`, { ...of, address });
}

/** The main object is gone: so is the driver, once a failed one has left nothing behind. */
function lookAtGone(world: World, entry: Entry): void {
  const { driver } = entry;
  stopAsking(world, entry);
  if (driver !== undefined && !entry.endTold) {
    const now = world.options.clock.now();
    const [cause, summary]: [DriverEnd["cause"], string] =
      entry.failed !== undefined
        ? ["died", entry.failed.summary]
        : entry.stopOrdered !== undefined || driver.draining !== undefined
          ? ["stopped", `stopped: ${entry.stopOrdered ?? driver.draining?.reason}`]
          : ["vanished", "somebody deleted the driver's object"];
    end(world, entry, entry.end ?? endOf(driver, cause, summary, now));
  }
  if (world.index.holds(entry.uid)) return;
  world.diagnoser.forget(entry.uid);
  world.drift.forget(entry.uid);
  world.entries.delete(entry.uid);
  world.discovered.delete(entry.uid);
}

/** Whoever waits to be told that a failed start is forgotten may count on its objects being gone. */
function end(world: World, entry: Entry, found: DriverEnd): void {
  entry.end ??= found;
  if (entry.driver?.phase === "failed" && world.index.holds(entry.uid)) return;
  tellEnd(world, entry, entry.end);
  lookAtRivals(world, entry);
}

/** @param known whether it is what it says it is; what is just being made has no seal yet */
function foreign(world: World, entry: Entry, known: boolean, why: string): void {
  const { options } = world;
  // What stays without a seal is told when it is deleted.
  if (entry.foreign !== why && (known || entry.driver !== undefined)) {
    options.log.warn("an object is not served", { driver: entry.name, driver_uid: entry.uid, why });
  }
  entry.foreign = why;
  if (entry.driver !== undefined) end(world, entry, endOf(entry.driver, "vanished", why, options.clock.now()));
}

function noteOnce({ options }: World, entry: Entry, note: string): void {
  if (entry.notes.has(note) || entry.notes.size > 20) return;
  entry.notes.add(note);
  options.log.warn("a driver's object is odd", { driver: entry.name, driver_uid: entry.uid, note });
}

function lookLater(world: World, entry: Entry): void {
  entry.cancelTimer();
  entry.cancelTimer = world.options.clock.after(lookEveryMs, () => {
    if (!world.over.signal.aborted) lookAt(world, [entry.uid]);
  });
}
