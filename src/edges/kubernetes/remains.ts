import type { MainObject } from "./index-objects.ts";
import { type KindSpec, kinds, objectPath } from "./kinds.ts";
import { annotation, label } from "./labels.ts";
import { lookAt } from "./look.ts";
import type { DriverResource, OwnerReference, Stored } from "./objects.ts";
import { isDeleting, timeOf } from "./observe-pod.ts";
import { readIfThere, removeMain, removeSecret, removeWholly, specOf } from "./remove.ts";
import { unsealedAgeMs } from "./start-conflict.ts";
import { currentTerm, isStatus, type Term, TermOver } from "./term.ts";
import type { Entry, World } from "./world.ts";

const sweepEveryMs = 2_000;
/** Chores at once; what finds no place comes with the next sweep. */
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
  const busy = new Set<string>();
  let cancel = () => {};
  let closed = false;
  const run = (uid: string, chore: Chore | undefined) => {
    const term = chore && busy.size < atOnce && !busy.has(uid) ? currentTerm(world) : undefined;
    if (term === undefined || chore === undefined) return;
    busy.add(uid);
    void attempt(uid, chore, term);
  };
  const attempt = async (uid: string, chore: Chore, term: Term) => {
    const seen = world.index.version(uid);
    try {
      await chore(term);
    } catch (error) {
      if (error instanceof TermOver) return;
      world.options.log.warn("housekeeping failed and will be tried again", { driver_uid: uid, error });
      return;
    } finally {
      busy.delete(uid);
    }
    // What changed meanwhile came too early to be looked at.
    if (world.index.version(uid) !== seen) run(uid, choreFor(world, uid));
  };
  const sweep = () => {
    cancel = world.options.clock.after(sweepEveryMs, sweep);
    if (!world.synced || !world.election.leads()) return;
    for (const { object } of world.index.mains()) run(object.metadata.uid, choreFor(world, object.metadata.uid));
    for (const secret of world.index.secrets()) run(secret.metadata.uid, orphanChore(world, secret));
  };
  return {
    tidy(uid) {
      if (!closed && world.synced) run(uid, choreFor(world, uid));
    },
    start: sweep,
    close() {
      closed = true;
      cancel();
    },
  };
}

function choreFor(world: World, uid: string): Chore | undefined {
  const main = world.index.main(uid);
  const entry = world.entries.get(uid);
  if (main === undefined || entry === undefined || world.stopping.has(uid)) return undefined;
  if (world.ordering.has(`${entry.namespace}/${entry.name}`)) return undefined;
  if (main.source !== "discovered" && !isDeleting(main.object)) {
    if (!entry.sealed) return isOld(world, main.object) ? unsealedChore(world, main) : undefined;
    if (isOver(world, entry)) return async (term) => await removeEnded(world, term, main);
  }
  const { firstPodUid, end } = entry;
  const noted = main.object.metadata.annotations?.[annotation.pod];
  if (end !== undefined || firstPodUid === undefined || noted !== undefined) return undefined;
  return async (term) => await notePod(world, term, main, firstPodUid);
}

/** It ended although nobody ordered that, or its failed start was reported for long enough. */
function isOver({ options }: World, { end, failed }: Entry): boolean {
  if (end !== undefined) return true;
  return failed !== undefined && options.clock.now() - failed.at >= options.failureMemoryMs;
}

function isOld({ options }: World, { metadata }: Stored): boolean {
  const createdAt = timeOf(metadata.creationTimestamp);
  return createdAt !== undefined && options.clock.now() - createdAt > unsealedAgeMs;
}

async function removeEnded(world: World, term: Term, main: MainObject): Promise<void> {
  await removeWholly(world, term, main);
  lookAt(world, [main.object.metadata.uid]);
}

function unsealedChore(world: World, main: MainObject): Chore {
  const { name, namespace, uid } = main.object.metadata;
  return async (term) => {
    world.options.log.warn("an object without a seal is deleted", { object: `${namespace}/${name}`, driver_uid: uid });
    await removeMain(world, term, main);
  };
}

/** So that a replica that starts later knows a pod that replaced this one for what it is. */
async function notePod(world: World, term: Term, { source, object }: MainObject, pod: string): Promise<void> {
  const { uid, name, namespace = "", resourceVersion } = object.metadata;
  const body = { metadata: { uid, resourceVersion, annotations: { [annotation.pod]: pod } } };
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
