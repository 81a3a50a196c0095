import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { writePrivateFile } from "./files.ts";
import { endProcess, isAlive, type ProcessIdentity, processStart } from "./process-identity.ts";

/** Who runs a quick start in a folder, and what it has started so far. */
interface Holder extends ProcessIdentity {
  readonly children: readonly ProcessIdentity[];
}

export interface QuickstartLock {
  /** Notes a process, so that a later quick start can end it if this one is killed. */
  add(child: ProcessIdentity): void;
  release(): void;
}

/**
 * Takes the folder for this process. A lock whose holder is gone is taken over: what that one left running is ended first.
 * @throws Error, one line, where another quick start is running
 */
export async function takeLock(file: string, progress: (line: string) => void): Promise<QuickstartLock> {
  const self = { name: "quickstart", pid: process.pid, startTime: processStart(process.pid) ?? "" };
  let holder: Holder = { ...self, children: [] };
  while (!createWhole(file, holder)) {
    const other = read(file);
    if (other !== undefined && isAlive(other)) {
      throw new Error(`another quick start is running in this checkout (process ${other.pid}): stop it first`);
    }
    if (other === undefined || !removeExactly(file, other)) continue;
    for (const child of other.children) {
      if (await endProcess(child, 15_000))
        progress(`Ended ${child.name}, left over from a quick start that was killed`);
    }
  }
  return {
    add(child) {
      const { name, pid, startTime } = child;
      holder = { ...holder, children: [...holder.children, { name, pid, startTime }] };
      writePrivateFile(file, JSON.stringify(holder));
    },
    release: () => rmSync(file, { force: true }),
  };
}

/** Creates the file with its whole content at once; false where it exists. */
function createWhole(file: string, holder: Holder): boolean {
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  writeFileSync(draft, JSON.stringify(holder), { mode: 0o600, flag: "wx" });
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Of several that want to take over, one gets true; a lock that somebody else has taken meanwhile is put back. */
function removeExactly(file: string, stale: Holder): boolean {
  const aside = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    renameSync(file, aside);
  } catch {
    return false;
  }
  const moved = read(aside);
  const same = moved?.pid === stale.pid && moved.startTime === stale.startTime;
  if (!same) {
    try {
      linkSync(aside, file);
    } catch {
      // A third one holds it now.
    }
  }
  rmSync(aside, { force: true });
  return same;
}

function read(file: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Holder;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Error(`${file} cannot be read: remove it`, { cause: error });
  }
}
