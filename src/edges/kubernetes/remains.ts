import type { MainObject } from "./index-objects.ts";
import { type KindSpec, kinds, objectPath } from "./kinds.ts";
import { annotation, label } from "./labels.ts";
import { lookAt } from "./look.ts";
import type { DriverResource, OwnerReference, Stored } from "./objects.ts";
import { isDeleting, timeOf } from "./observe-pod.ts";
import { isProvedAtServer } from "./proof.ts";
import { readIfThere, removeMain, removeSecret, removeWholly, specOf } from "./remove.ts";
import { seal } from "./seal.ts";
import { unsealedAgeMs } from "./start-conflict.ts";
import { currentTerm, isStatus, type Term, TermOver } from "./term.ts";
import type { Entry, World } from "./world.ts";

const sweepEveryMs = 2_000;
/** Chores at once; what finds no place comes as soon as there is one. */
const atOnce = 16;

type Chore = (term: Term) => Promise<void>;

/** The leader's housekeeping: looks at what is there, and does what is missing. What fails is tried again in 2 s. */
export interface Remains {
  /** Something about this incarnation has changed. */
  tidy(uid: string): void;
  /** Begins to look at everything every now and then. */
  start(): void;
  close(): void;
}

export function createRemains(world: World): Remains {
  const chores = createChores(world);
  let cancel = () => {};
  const sweep = () => {
    cancel = world.options.clock.after(sweepEveryMs, sweep);
    if (!world.synced || !world.election.leads()) return;
    for (const { object } of world.index.mains()) {
      const { uid } = object.metadata;
      chores.run(uid, () => choreFor(world, uid));
    }
    for (const secret of world.index.secrets()) chores.run(secret.metadata.uid, () => orphanChore(world, secret));
  };
  return {
    tidy(uid) {
      if (world.synced) chores.run(uid, () => choreFor(world, uid));
    },
    start: sweep,
    close() {
      chores.close();
      cancel();
    },
  };
}

interface Chores {
  /** Does what is found to be missing, now or, where there is too much to do, when its turn comes. */
  run(uid: string, find: () => Chore | undefined): void;
  close(): void;
}

function createChores(world: World): Chores {
  const busy = new Set<string>();
  /** What found no place, oldest first. */
  const waiting = new Map<string, () => Chore | undefined>();
  let closed = false;
  const run = (uid: string, find: () => Chore | undefined) => {
    const chore = closed || busy.has(uid) ? undefined : found(world, uid, find);
    if (chore === undefined) return;
    if (busy.size >= atOnce) {
      waiting.set(uid, find);
      return;
    }
    const term = currentTerm(world);
    if (term === undefined) {
      waiting.clear();
      return;
    }
    busy.add(uid);
    void attempt(uid, chore, term);
  };
  const attempt = async (uid: string, chore: Chore, term: Term) => {
    const seen = world.index.version(uid);
    try {
      await chore(term);
    } catch (error) {
      // The others would fail too, as likely as not: they come with the next sweep.
      waiting.clear();
      if (error instanceof TermOver) return;
      world.options.log.warn("housekeeping failed and will be tried again", { driver_uid: uid, error });
      return;
    } finally {
      busy.delete(uid);
    }
    // What changed meanwhile came too early to be looked at.
    if (world.index.version(uid) !== seen) run(uid, () => choreFor(world, uid));
    for (const [next, find] of waiting) {
      if (busy.size >= atOnce) return;
      waiting.delete(next);
      run(next, find);
    }
  };
  return {
    run,
    close() {
      closed = true;
      waiting.clear();
    },
  };
}

/** A timer asks: what throws there would end the process. */
function found({ options }: World, uid: string, find: () => Chore | undefined): Chore | undefined {
  try {
    return find();
  } catch (error) {
    options.log.error("what is to be done about an object could not be found out", { object_uid: uid, error });
    return undefined;
  }
}

function choreFor(world: World, uid: string): Chore | undefined {
  const main = world.index.main(uid);
  const entry = world.entries.get(uid);
  if (main === undefined || entry === undefined || world.stopping.has(uid)) return undefined;
  if (world.ordering.has(`${entry.namespace}/${entry.name}`)) return undefined;
  if (main.source !== "discovered" && !isDeleting(main.object)) {
    if (!entry.sealed) return isOld(world, main.object, entry.seenAt) ? unsealedChore(world, main) : undefined;
    if (isOver(world, entry)) return async (term) => await removeEnded(world, term, main);
  }
  const { firstPodUid, end } = entry;
  const noted = main.object.metadata.annotations?.[annotation.pod];
  if (end !== undefined || firstPodUid === undefined || noted !== undefined) return undefined;
  return async (term) => await noteReady(world, term, main, firstPodUid);
}

/** It ended although nobody ordered that, or its failed start was reported for long enough. */
function isOver({ options }: World, { end, failed }: Entry): boolean {
  if (end !== undefined) return true;
  return failed !== undefined && options.clock.now() - failed.at >= options.failureMemoryMs;
}

/** By the API server's clock or, where that lies ahead of ours, by when we saw it first. */
function isOld({ options }: World, { metadata }: Stored, seenAt = Number.POSITIVE_INFINITY): boolean {
  const createdAt = timeOf(metadata.creationTimestamp);
  return createdAt !== undefined && options.clock.now() - Math.min(createdAt, seenAt) > unsealedAgeMs;
}

async function removeEnded(world: World, term: Term, main: MainObject): Promise<void> {
  await removeWholly(world, term, main);
  lookAt(world, [main.object.metadata.uid]);
}

function unsealedChore(world: World, main: MainObject): Chore {
  const { name, namespace, uid } = main.object.metadata;
  return async (term) => {
    // The watch of Secrets may be behind, or forbidden: a driver must not be lost for that.
    if (await isProvedAtServer(term, world.options.sealKeys, main.object)) return;
    world.options.log.warn("an object without a seal is deleted", { object: `${namespace}/${name}`, driver_uid: uid });
    await removeMain(world, term, main);
  };
}

/**
 * So that a replica that starts later knows a pod that replaced this one for what it is. The seal comes along, now that no
 * operator minds.
 */
async function noteReady(world: World, term: Term, { source, object }: MainObject, pod: string): Promise<void> {
  const { uid, name, namespace = "", resourceVersion } = object.metadata;
  const facts = world.entries.get(uid)?.provedFacts;
  const sealed = facts === undefined ? {} : { [annotation.seal]: seal(world.options.sealKeys, uid, facts) };
  const body = { metadata: { uid, resourceVersion, annotations: { [annotation.pod]: pod, ...sealed } } };
  try {
    const path = objectPath(specOf(source), namespace, name);
    const written = await term.call<Stored<DriverResource>>({ method: "PATCH", path, body });
    world.index.putOwn(source, written);
    lookAt(world, [uid]);
  } catch (error) {
    // It has changed or is gone: the watch tells, and then this comes up again.
    if (!isStatus(error, 404, 409, 422)) throw error;
  }
}

/** Secrets that we made for drivers that are gone. The garbage collector does the same, where there is one. */
function orphanChore(world: World, secret: Stored): Chore | undefined {
  const { labels, ownerReferences: [owner] = [], namespace = "" } = secret.metadata;
  if (labels?.[label.driver] === undefined || owner === undefined || !isOld(world, secret)) return undefined;
  if (world.index.main(owner.uid) !== undefined || isDeleting(secret)) return undefined;
  const spec = specOfOwner(owner);
  if (spec === undefined) return undefined;
  return async (term) => {
    // Asked of the server itself: what a watch does not tell may be there all the same.
    const present = await readIfThere(term, objectPath(spec, namespace, owner.name));
    if (present?.metadata.uid !== owner.uid) await removeSecret(term, secret);
  };
}

const specOfOwner = ({ apiVersion, kind }: OwnerReference): KindSpec | undefined =>
  Object.values(kinds).find((spec) => spec.apiVersion === apiVersion && spec.kind === kind);
