import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive, type ProcessIdentity, startTimeOf } from "./process-identity.ts";

/**
 * Takes the folder for this process. A lock whose holder is dead is taken over.
 * @returns the function that gives it back
 * @throws Error naming the holder
 */
export function lockFolder(folder: string): () => void {
  const path = join(folder, "runtime.lock");
  const mine = JSON.stringify({ pid: process.pid, startTime: startTimeOf(process.pid) ?? "", id: randomUUID() });
  for (let attempt = 0; attempt < 10; attempt += 1) {
    if (take(path, mine)) {
      return () => {
        if (read(path) === mine) rmSync(path, { force: true });
      };
    }
    const other = read(path);
    if (other === undefined) continue;
    const holder = parse(other);
    if (holder !== undefined && isAlive(holder)) {
      throw new Error(`${folder} is in use by another Gatehouse (process ${holder.pid})`);
    }
    putAside(path, other);
  }
  throw new Error(`${path} cannot be taken: other processes keep taking and leaving it`);
}

/** Makes the file with its content in one step. */
function take(path: string, content: string): boolean {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, content, { mode: 0o600, flag: "wx" });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Removes a dead holder's lock, and gives it back where a living one took it in between. */
function putAside(path: string, content: string): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
    if (read(aside) !== content) linkSync(aside, path);
  } catch {
    // Another process did the same; the next attempt sees how it stands.
  }
  rmSync(aside, { force: true });
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function parse(content: string): ProcessIdentity | undefined {
  try {
    const { pid, startTime } = JSON.parse(content) as Partial<ProcessIdentity>;
    return typeof pid === "number" && typeof startTime === "string" ? { pid, startTime } : undefined;
  } catch {
    return undefined;
  }
}
