import type { Secret } from "../kernel/secret.ts";
import type { ActivityRecord } from "../sessions/activity-record.ts";
import type { SessionKey } from "../sessions/session-key.ts";

/**
 * Where a driver is in its life. `starting` → `ready` → `draining` → gone; or `starting` → `failed` → gone.
 * A driver that ended is removed from the registry; what is left of it is a {@link DriverEnd}.
 */
export type DriverPhase = "starting" | "ready" | "draining" | "failed";

/** Why a driver takes no new work any more, and since when (ms since the epoch). */
export interface Draining {
  readonly reason: "idle" | "max_ttl" | "deleted";
  readonly since: number;
}

/** Why a driver could not start or died, in words for the person who waits for it. */
export interface DriverFailure {
  /** One readable line; shown to the owner. */
  readonly summary: string;
  /** The last log lines, newest last; shown to the owner, at most 20 lines. */
  readonly logTail: readonly string[];
  readonly exitCode: number | undefined;
  /** ms since the epoch */
  readonly at: number;
}

/** Where a driver listens: an IP address and its port. */
export interface DriverAddress {
  readonly host: string;
  readonly port: number;
}

/** One Spark Connect server, as its runtime knows it. Immutable: a change is a new value with the same uid. */
export interface Driver {
  /** The incarnation: differs whenever a driver is made anew under the same name. */
  readonly uid: string;
  /** The resource's name, derived from the session key; see `driver-name.ts`. */
  readonly name: string;
  readonly key: SessionKey;
  /** `ownerId` of the principal that it was started for. */
  readonly owner: string;
  /** The owner's display name; for people only. */
  readonly ownerUser: string;
  /** Groups whose members may use it too. */
  readonly sharedWithGroups: readonly string[];
  readonly profile: string;
  readonly phase: DriverPhase;
  /** Where it listens; present from `ready` on. */
  readonly address: DriverAddress | undefined;
  /** Its own bearer token; absent only for profiles with `allow_tokenless`. */
  readonly token: Secret | undefined;
  /** ms since the epoch */
  readonly createdAt: number;
  readonly draining: Draining | undefined;
  readonly failure: DriverFailure | undefined;
  /** What was last recorded about its use; survives a restart of Gatehouse. */
  readonly recorded: ActivityRecord | undefined;
}

/** What is remembered of a driver that is gone. */
export interface DriverEnd {
  readonly uid: string;
  readonly key: SessionKey;
  readonly cause: "stopped" | "died" | "vanished";
  readonly summary: string;
  readonly at: number;
  /** Connect sessions that its record named: for a driver that ended while nobody watched. */
  readonly connectSessions?: readonly string[];
}
