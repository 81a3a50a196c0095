import type { Draining, Driver, DriverEnd, DriverFailure } from "../../drivers/driver.ts";
import { Secret } from "../../kernel/secret.ts";
import type { ActivityRecord } from "../../sessions/activity-record.ts";
import { startFailure } from "./causes.ts";
import { logLines } from "./causes-log.ts";
import { readActivity, readDraining, readFacts } from "./facts.ts";
import { deathOf, isCallable, isDeleting, wasReady } from "./observe-pod.ts";
import type { DriverObjects, ObserveContext, Observed } from "./observe-types.ts";
import { podAddress } from "./pod-address.ts";
import { podIncarnation } from "./pod-of.ts";

/** Who a driver is, apart from how it is. */
export interface DriverIdentity
  extends Pick<Driver, "uid" | "name" | "key" | "owner" | "ownerUser" | "sharedWithGroups" | "profile" | "createdAt"> {
  /** The Secret with its token; undefined for a driver without one. */
  readonly tokenSecret: string | undefined;
}

/**
 * What the objects of a driver that Gatehouse started mean now. Pure: the same objects and context give the same answer.
 *
 * - `starting` until its pod is Ready, its token is known and it has answered a first call; `failed` where `causes.ts` finds out
 *   before that why it never will.
 * - `ready`, or `draining`, from then on for as long as the same life of the same pod runs, also where the Ready condition
 *   turns False: a driver that collects garbage misses probes, and its streams, which may be hours old, must not be cut for
 *   that, nor may a new driver be started beside it. So the address stays too: a call to a driver that does not answer
 *   fails with UNAVAILABLE, which clients repeat, and the reaper goes on judging it.
 * - `ended` when its pod ended, was deleted or replaced, or its container restarted, after it was ready; and as soon as
 *   somebody deletes the main object.
 */
export function observe(objects: DriverObjects, context: ObserveContext): Observed {
  const { main } = objects;
  if (!objects.sealed) {
    return { what: "foreign", why: "it carries no seal of this Gatehouse: delete it, or leave it to who made it" };
  }
  const { value: facts, note } = readFacts(main, context.cluster);
  if (facts === undefined)
    return { what: "foreign", why: `${note ?? "it has no facts"}: delete it, it was tampered with` };
  const identity: DriverIdentity = {
    uid: main.metadata.uid,
    name: main.metadata.name,
    key: { cluster: facts.cluster, namespace: facts.namespace, app: facts.app },
    owner: facts.owner,
    ownerUser: facts.ownerUser,
    sharedWithGroups: facts.sharedWithGroups,
    profile: facts.profile,
    createdAt: facts.createdAt,
    tokenSecret: facts.tokenSecret,
  };
  return observeAs(identity, objects, context);
}

/** As {@link observe}, for a driver whose identity is established. */
export function observeAs(identity: DriverIdentity, objects: DriverObjects, context: ObserveContext): Observed {
  const record = recordOf(objects);
  const end = (cause: DriverEnd["cause"], summary: string): Observed => ({
    what: "ended",
    end: {
      uid: identity.uid,
      key: identity.key,
      cause,
      summary,
      at: context.now,
      connectSessions: record.recorded?.connectSessions ?? [],
    },
  });
  if (isDeleting(objects.main)) {
    if (objects.failed !== undefined) return end("died", objects.failed.summary);
    const why = objects.stopOrdered ?? record.draining?.reason;
    return why === undefined
      ? end("vanished", "somebody deleted the driver's object")
      : end("stopped", `stopped: ${why}`);
  }
  const was = wasReady(objects);
  const failure = was ? undefined : (objects.failed ?? failureOf(objects, context, record.recorded));
  const death = was ? deathOf(objects) : undefined;
  if (death !== undefined) return end("died", death);
  const callable = isCallable(objects, identity.tokenSecret);
  const serves = was || (failure === undefined && callable && objects.answers);
  return {
    what: "driver",
    driver: toDriver(identity, objects, context, { ...record, failure, serves }),
    callable,
    readyPod: serves && objects.pod !== undefined ? podIncarnation(objects.pod) : undefined,
    notes: record.notes,
  };
}

interface Record {
  readonly recorded: ActivityRecord | undefined;
  readonly draining: Draining | undefined;
  readonly notes: readonly string[];
}

function recordOf({ main }: DriverObjects): Record {
  const activity = readActivity(main);
  const draining = readDraining(main);
  const notes = [activity.note, draining.note].filter((note) => note !== undefined);
  return { recorded: activity.value, draining: draining.value, notes };
}

interface State extends Record {
  readonly failure: DriverFailure | undefined;
  readonly serves: boolean;
}

function toDriver(
  { uid, name, key, owner, ownerUser, sharedWithGroups, profile, createdAt }: DriverIdentity,
  { pod, token }: DriverObjects,
  { port }: ObserveContext,
  { failure, serves, draining, recorded }: State,
): Driver {
  const host = podAddress(pod);
  const serving = draining === undefined ? "ready" : "draining";
  return {
    uid,
    name,
    key,
    owner,
    ownerUser,
    sharedWithGroups,
    profile,
    createdAt,
    phase: serves ? serving : failure === undefined ? "starting" : "failed",
    address: serves && host !== undefined ? { host, port } : undefined,
    token: token === undefined ? undefined : new Secret(token),
    draining,
    failure,
    recorded,
  };
}

function failureOf(
  objects: DriverObjects,
  context: ObserveContext,
  recorded: ActivityRecord | undefined,
): DriverFailure | undefined {
  // A call was let through to it once, so it was ready, whatever a replica that has just started can see of it yet.
  const used = (recorded?.connectSessions.length ?? 0) > 0;
  const limits = used ? { ...context, startTimeoutMs: Number.POSITIVE_INFINITY } : context;
  const failure = startFailure(objects, context.now, limits);
  return failure && { ...failure, logTail: logLines(objects.logTail, objects.token) };
}

/** The end of a driver whose main object is not there any more, or that another incarnation has replaced. */
export function endOf(driver: Driver, cause: DriverEnd["cause"], summary: string, at: number): DriverEnd {
  const connectSessions = driver.recorded?.connectSessions ?? [];
  return { uid: driver.uid, key: driver.key, cause, summary, at, connectSessions };
}
