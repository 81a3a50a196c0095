import { randomUUID } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { ActivityRecord } from "../../sessions/activity-record.ts";

const activity = z.object({
  v: z.literal(1),
  lastActive: z.number(),
  streamingQueries: z.record(z.string(), z.number()),
  detached: z.array(z.object({ operationId: z.string(), connectSession: z.string(), lastAttached: z.number() })),
  connectSessions: z.array(z.string()),
});

const record = z.object({
  v: z.literal(1),
  uid: z.uuid(),
  name: z.string(),
  key: z.object({ cluster: z.string(), namespace: z.string(), app: z.string() }),
  owner: z.string(),
  ownerUser: z.string(),
  sharedWithGroups: z.array(z.string()),
  profile: z.string(),
  /** `ending`: its stop was ordered, and has to be finished. */
  phase: z.enum(["starting", "ready", "ending"]),
  /** Absent until there is a process, or while we do not know of it yet. */
  process: z.object({ pid: z.number(), startTime: z.string() }).optional(),
  /** Absent until it has been given one. */
  address: z.object({ host: z.string(), port: z.number() }).optional(),
  token: z.string().optional(),
  /** ms since the epoch */
  createdAt: z.number(),
  draining: z.object({ reason: z.enum(["idle", "max_ttl", "deleted"]), since: z.number() }).optional(),
  recorded: z.custom<ActivityRecord>((value) => activity.safeParse(value).success).optional(),
});

/** All that must be known of a driver to go on with it after a crash. It is written before the process is started. */
export type DriverRecord = Readonly<z.infer<typeof record>>;

/** `<folder>/drivers/<uid>` holds `state.json` and all that the driver writes but its log, `<folder>/logs/<name>.<uid>.log`. */
export const driverFolder = (folder: string, uid: string): string => join(folder, "drivers", uid);

export const logFile = (folder: string, { name, uid }: Pick<DriverRecord, "name" | "uid">): string =>
  join(folder, "logs", `${name}.${uid}.log`);

export function makeFolders(folder: string): void {
  for (const each of [folder, join(folder, "drivers"), join(folder, "logs")]) {
    mkdirSync(each, { recursive: true, mode: 0o700 });
  }
  chmodSync(folder, 0o700);
}

/** Replaces the state file in one step; it is for its owner only, because it holds the token. */
export function writeRecord(folder: string, driver: DriverRecord): void {
  const own = driverFolder(folder, driver.uid);
  mkdirSync(own, { recursive: true, mode: 0o700 });
  const draft = join(own, `state.${randomUUID()}`);
  writeFileSync(draft, `${JSON.stringify(driver, null, 2)}\n`, { mode: 0o600, flag: "wx" });
  renameSync(draft, join(own, "state.json"));
}

/** Removes the driver's folder. Its log stays. */
export function removeRecord(folder: string, uid: string): void {
  rmSync(driverFolder(folder, uid), { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}

/** Every driver's record; `unreadable` names the folders (uids) whose record is missing or makes no sense. */
export function readRecords(folder: string): { records: readonly DriverRecord[]; unreadable: readonly string[] } {
  const records: DriverRecord[] = [];
  const unreadable: string[] = [];
  for (const uid of readdirSync(join(folder, "drivers"))) {
    const driver = readRecord(join(driverFolder(folder, uid), "state.json"));
    if (driver?.uid === uid) records.push(driver);
    else unreadable.push(uid);
  }
  return { records, unreadable };
}

function readRecord(path: string): DriverRecord | undefined {
  try {
    return record.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return undefined;
  }
}
