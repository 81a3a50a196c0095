import { adoptProcess, endProcess, endSession } from "./driver-process.ts";
import { endOf, newEntry } from "./entry.ts";
import { processMarks } from "./java-command.ts";
import { becomeReady, end, follow } from "./launch.ts";
import { findDriverProcesses, isAlive, type ProcessIdentity } from "./process-identity.ts";
import { type DriverRecord, readRecords, removeRecord } from "./state-file.ts";
import { persist, tellEnd, type World } from "./world.ts";

/**
 * Takes over what an earlier runtime on this folder left: living drivers are followed, ordered ends are finished, processes
 * without a record are ended, records without a process are removed and their drivers remembered as died.
 */
export async function adoptAll(world: World): Promise<void> {
  const { folder, log } = world.options;
  const { records, unreadable } = readRecords(folder);
  const running = new Map(
    findDriverProcesses((uid) => processMarks(folder, uid)).map(({ uid, pid, startTime }) => [uid, { pid, startTime }]),
  );
  for (const record of records.toSorted((a, b) => b.createdAt - a.createdAt)) {
    const noted = record.process !== undefined && isAlive(record.process) ? record.process : undefined;
    const process = noted ?? running.get(record.uid);
    if (process === undefined || world.entries.has(record.name)) {
      await bury(world, record);
      continue;
    }
    running.delete(record.uid);
    adopt(world, record, process);
  }
  for (const [uid, process] of running) {
    log.warn("ending a driver process that no record knows", { driver_uid: uid, pid: process.pid });
    await endProcess(process, world.options.stopGraceMs);
  }
  for (const uid of unreadable) removeRecord(folder, uid);
}

function adopt(world: World, record: DriverRecord, identity: ProcessIdentity): void {
  const { log, pollMs } = world.options;
  const entry = newEntry(record);
  world.entries.set(record.name, entry);
  const process = adoptProcess(identity, pollMs);
  log.info("adopted a driver", { driver: record.name, driver_uid: record.uid, pid: identity.pid, phase: record.phase });
  if (record.phase === "ending") {
    entry.process = process;
    entry.ending = end(world, entry, "the stop was ordered before a restart");
    return;
  }
  follow(world, entry, process);
  if (record.process === undefined) persist(world, entry, { process: identity });
  if (record.phase === "starting") entry.launching = becomeReady(world, entry, process);
}

async function bury(world: World, record: DriverRecord): Promise<void> {
  const { clock, folder } = world.options;
  if (record.process !== undefined) await endSession(record.process.pid);
  removeRecord(folder, record.uid);
  const summary =
    record.phase === "ending" ? "the stop was ordered before a restart" : "driver ended while Gatehouse was away";
  const cause = record.phase === "ending" ? "stopped" : "died";
  tellEnd(world, { ...endOf(record), cause, summary, at: clock.now() });
}
