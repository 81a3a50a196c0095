import { rmSync } from "node:fs";
import type { DriverEnd, DriverFailure } from "../../drivers/driver.ts";
import type { DriverSink } from "../../drivers/runtime.ts";
import type { AddressPool } from "./address-pool.ts";
import { pruneLogs } from "./driver-log.ts";
import { type Entry, endOf, toDriver } from "./entry.ts";
import type { ResolvedOptions } from "./options.ts";
import type { StartTurns } from "./start-turns.ts";
import { type DriverRecord, driverFolder, removeRecord, writeRecord } from "./state-file.ts";

/** What one runtime knows. */
export interface World {
  readonly options: ResolvedOptions;
  /** By name. A name has at most one incarnation at a time. */
  readonly entries: Map<string, Entry>;
  readonly sinks: Set<DriverSink>;
  readonly pool: AddressPool;
  readonly turns: StartTurns;
  /** Ends that were found before anybody watched. */
  readonly earlierEnds: DriverEnd[];
  closed: boolean;
}

/** Writes first, then believes it. @throws the file system's error, with nothing changed */
export function persist(world: World, entry: Entry, change: Partial<DriverRecord>): void {
  const record = { ...entry.record, ...change };
  writeRecord(world.options.folder, record);
  entry.record = record;
}

export function report(world: World, entry: Entry): void {
  const driver = toDriver(entry);
  for (const sink of world.sinks) sink.upsert(driver);
}

/** It is gone: its folder goes, its log stays a while, everyone is told. */
export function forget(world: World, entry: Entry, cause: DriverEnd["cause"], summary: string): void {
  const { options, entries } = world;
  const { record } = entry;
  if (entries.get(record.name) !== entry) return;
  entries.delete(record.name);
  entry.process?.release();
  cleanUp(world, record.uid);
  const end: DriverEnd = { ...endOf(record), cause, summary, at: options.clock.now() };
  options.log.info("driver ended", { driver: record.name, driver_uid: record.uid, cause, summary });
  tellEnd(world, end);
}

export function tellEnd(world: World, end: DriverEnd): void {
  if (world.sinks.size === 0) world.earlierEnds.push(end);
  for (const sink of world.sinks) sink.remove(end);
}

/** Its start failed: reported for a while, so that everyone who waits learns the cause, then forgotten. */
export function fail(world: World, entry: Entry, failure: Omit<DriverFailure, "at">): void {
  const { clock, failureMemoryMs, log } = world.options;
  if (world.closed || entry.ending !== undefined || entry.failure !== undefined) return;
  entry.failure = { ...failure, at: clock.now() };
  cleanUp(world, entry.record.uid);
  log.warn("driver failed to start", {
    driver: entry.record.name,
    driver_uid: entry.record.uid,
    summary: failure.summary,
  });
  report(world, entry);
  clock.after(failureMemoryMs, () => {
    if (!world.closed) forget(world, entry, "died", failure.summary);
  });
}

function cleanUp(world: World, uid: string): void {
  const { folder, keepLogs, log } = world.options;
  try {
    removeRecord(folder, uid);
    const present = [...world.entries.values()].filter((entry) => entry.failure === undefined);
    pruneLogs(folder, keepLogs, new Set(present.map((entry) => entry.record.uid)));
  } catch (error) {
    // A state file that stays names a process that is gone: the next start removes it.
    rmSync(`${driverFolder(folder, uid)}/state.json`, { force: true });
    log.warn("what a driver left could not be removed", { driver_uid: uid, error });
  }
}
