import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

// Plain JavaScript: bootstrap.mjs needs it before anything is installed. Types are in lock.d.mts.

/** Names a process for good: an id is used again, an id with its start time is not. */
function identity(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return `${pid} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
  } catch {
    return `${pid} ?`;
  }
}

function holds(content) {
  const pid = Number.parseInt(content, 10);
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error.code === "EPERM";
  }
  return content.endsWith("?") || identity(pid) === content;
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function take(path, content) {
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  writeFileSync(draft, content, { flag: "wx" });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Moves a dead holder's lock away; puts it back where a living process took it in between. */
function clear(path, content) {
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    renameSync(path, aside);
    if (read(aside) !== content) linkSync(aside, path);
  } catch {
    // Somebody else was faster; the next round sees how it stands.
  }
  rmSync(aside, { force: true });
}

export async function withLock(path, onWait, work) {
  mkdirSync(dirname(path), { recursive: true });
  const mine = identity(process.pid);
  let told = false;
  while (!take(path, mine)) {
    const holder = read(path);
    if (holder === undefined) continue;
    if (holder === mine || holds(holder)) {
      if (!told) onWait(holder.split(" ")[0]);
      told = true;
      await delay(100);
    } else {
      clear(path, holder);
    }
  }
  try {
    return await work();
  } finally {
    if (read(path) === mine) rmSync(path, { force: true });
  }
}
