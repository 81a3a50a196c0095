import { createHash } from "node:crypto";
import type { Driver, DriverEnd, DriverFailure } from "../../drivers/driver.ts";
import { driverName } from "../../drivers/driver-name.ts";
import { Secret } from "../../kernel/secret.ts";
import type { SessionKey } from "../../sessions/session-key.ts";
import type { DriverProcess } from "./driver-process.ts";
import type { DriverRecord } from "./state-file.ts";

/** One incarnation of a driver, from its order to its end. */
export interface Entry {
  /** As it stands in the state file. */
  record: DriverRecord;
  process: DriverProcess | undefined;
  failure: DriverFailure | undefined;
  /** Aborted when nobody wants the start any more. */
  readonly abort: AbortController;
  /** Resolves when the start is over, in whatever way; never rejects. */
  launching: Promise<void>;
  /** Set once its end was ordered; resolves when it is gone. */
  ending: Promise<void> | undefined;
}

export const nameOf = (key: SessionKey): string =>
  driverName(key, (text) => createHash("sha256").update(text).digest("hex"));

export function newEntry(record: DriverRecord): Entry {
  return {
    record,
    process: undefined,
    failure: undefined,
    abort: new AbortController(),
    launching: Promise.resolve(),
    ending: undefined,
  };
}

export const tokenOf = ({ record }: Entry): Secret | undefined =>
  record.token === undefined ? undefined : new Secret(record.token);

export function toDriver(entry: Entry): Driver {
  const { record, failure } = entry;
  const listens = record.phase !== "starting" && failure === undefined;
  const phase = record.draining === undefined ? "ready" : "draining";
  return {
    uid: record.uid,
    name: record.name,
    key: record.key,
    owner: record.owner,
    ownerUser: record.ownerUser,
    sharedWithGroups: record.sharedWithGroups,
    profile: record.profile,
    phase: failure === undefined ? (listens ? phase : "starting") : "failed",
    address: listens ? record.address : undefined,
    token: tokenOf(entry),
    createdAt: record.createdAt,
    draining: record.draining,
    failure,
    recorded: record.recorded,
  };
}

/** What stays known of a driver that is gone. Its Connect sessions do: they get SESSION_CHANGED on any later driver. */
export function endOf(record: DriverRecord): Pick<DriverEnd, "uid" | "key" | "connectSessions"> {
  return { uid: record.uid, key: record.key, connectSessions: record.recorded?.connectSessions ?? [] };
}
