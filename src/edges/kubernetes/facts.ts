import { createHash } from "node:crypto";
import { z } from "zod";
import type { Draining } from "../../drivers/driver.ts";
import { driverName } from "../../drivers/driver-name.ts";
import { GatewayError } from "../../kernel/errors.ts";
import type { ActivityRecord } from "../../sessions/activity-record.ts";
import { activityLimits } from "../../sessions/activity-state.ts";
import type { SessionKey } from "../../sessions/session-key.ts";
import { isSessionName } from "./facts-name.ts";
import { annotation, type DriverFacts } from "./labels.ts";
import type { KubeObject } from "./objects.ts";

/** All annotations of an object together may hold 256 KiB. In UTF-16 units. */
const maxFactsLength = 32_768;
const maxActivityLength = 65_536;
const maxDrainingLength = 256;

const text = (max: number) => z.string().min(1).max(max);
const time = z.number().int().nonnegative();

const factsSchema = z.strictObject({
  v: z.literal(1),
  cluster: text(253),
  namespace: text(63),
  app: text(253),
  owner: text(1_024),
  ownerUser: z.string().max(1_024),
  sharedWithGroups: z.array(z.string().max(1_024)).max(256),
  profile: text(253),
  tokenSecret: text(253).exactOptional(),
  createdAt: time,
});

const id = z.string().max(256);
const activitySchema = z.object({
  v: z.literal(1),
  lastActive: z.number(),
  recordedAt: z.number().exactOptional(),
  streamingQueries: z.record(id, z.number()),
  detached: z.array(z.object({ operationId: id, connectSession: id, lastAttached: z.number() })),
  connectSessions: z.array(id),
});

const drainingSchema = z.object({ reason: z.enum(["idle", "max_ttl", "deleted"]), since: z.number() });

/** What an annotation says; `note` is set where it says nothing that makes sense. */
export interface Noted<T> {
  readonly value: T | undefined;
  readonly note?: string;
}

/** The name of the main object that serves this key. */
export const nameOf = (key: SessionKey): string =>
  driverName(key, (text) => createHash("sha256").update(text).digest("hex"));

/**
 * The facts on a main object, where they are whole and about this very object: of our version, without unknown fields, and
 * with a key that belongs to the object's namespace and name. `note` says why not. Whether they are true says the seal.
 */
export function readFacts(main: KubeObject, cluster: string): Noted<DriverFacts> {
  const { name, namespace, annotations } = main.metadata;
  const { value: facts, note } = parsed(annotations, annotation.facts, factsSchema, maxFactsLength);
  if (facts === undefined) return { value: undefined, note: note ?? `it has no annotation ${annotation.facts}` };
  const wrong = (what: string) => ({ value: undefined, note: `the annotation ${annotation.facts} names ${what}` });
  if (facts.cluster !== cluster) return wrong("another cluster");
  if (facts.namespace !== namespace) return wrong("another namespace");
  if (!isSessionName(facts)) return wrong("no well-formed session");
  if (nameOf(facts) !== name) return wrong("a session whose driver has another name");
  return { value: facts };
}

/** The annotation's text. @throws GatewayError DRIVER_FAILED for facts that nobody could read back */
export function factsText(facts: DriverFacts): string {
  const { success } = factsSchema.safeParse(facts);
  const text = JSON.stringify(facts);
  if (success && text.length <= maxFactsLength) return text;
  throw new GatewayError(
    "DRIVER_FAILED",
    "what has to be noted on the driver does not fit: its owner's or groups' names are too long or too many",
  );
}

/** What was recorded of its use. More than we would have written is cut: what was used last counts. */
export function readActivity(object: KubeObject): Noted<ActivityRecord> {
  const read = parsed(object.metadata.annotations, annotation.activity, activitySchema, maxActivityLength);
  if (read.value === undefined) return read;
  const { streamingQueries, detached, connectSessions } = read.value;
  return {
    value: {
      ...read.value,
      // One more each: for what found no place.
      streamingQueries: Object.fromEntries(
        Object.entries(streamingQueries).slice(0, activityLimits.streamingSessions + 1),
      ),
      detached: detached.toSorted((a, b) => b.lastAttached - a.lastAttached).slice(0, activityLimits.operations + 1),
      connectSessions: connectSessions.slice(-activityLimits.connectSessions),
    },
  };
}

export const activityText = (record: ActivityRecord): string => JSON.stringify(record);

export const readDraining = (object: KubeObject): Noted<Draining> =>
  parsed(object.metadata.annotations, annotation.draining, drainingSchema, maxDrainingLength);

export const drainingText = ({ reason, since }: Draining): string => JSON.stringify({ reason, since });

function parsed<T>(
  annotations: Readonly<Record<string, string>> | undefined,
  name: string,
  schema: z.ZodType<T>,
  maxLength: number,
): Noted<T> {
  const text = annotations?.[name];
  if (text === undefined) return { value: undefined };
  if (text.length > maxLength) return { value: undefined, note: `the annotation ${name} is too long` };
  const read = schema.safeParse(jsonOf(text));
  return read.success
    ? { value: read.data }
    : { value: undefined, note: `the annotation ${name} is not what we write` };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
