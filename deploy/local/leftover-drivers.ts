import { existsSync } from "node:fs";
import { join } from "node:path";
import { endProcess, endSession } from "../../src/edges/local/driver-process.ts";
import { processMarks } from "../../src/edges/local/java-command.ts";
import { findDriverProcesses } from "../../src/edges/local/process-identity.ts";
import { readRecords } from "../../src/edges/local/state-file.ts";

const graceMs = 5000;

/**
 * Ends the drivers (and their Python workers) that a Gatehouse which is gone has left on that runtime folder. Only for a
 * folder whose Gatehouse has ended: a living one would start them anew.
 * @returns how many drivers there were to end
 */
export async function endLeftoverDrivers(folder: string): Promise<number> {
  const found = findDriverProcesses((uid) => processMarks(folder, uid));
  await Promise.all(found.map(async (driver) => await endProcess(driver, graceMs)));
  if (existsSync(join(folder, "drivers"))) {
    const leaders = readRecords(folder).records.flatMap(({ process }) => (process === undefined ? [] : [process.pid]));
    await Promise.all(leaders.map(async (leader) => await endSession(leader)));
  }
  return found.length;
}
