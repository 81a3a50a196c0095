import { namedSecretPlace } from "./discovered-secret.ts";
import type { DriverKind } from "./kinds.ts";
import { annotation, type DriverFacts } from "./labels.ts";
import type { DriverResource, Pod, Secret, Stored } from "./objects.ts";

/** Which watch an object came from. */
export type Source = DriverKind | "discovered" | "secret";

/** The object that stands for a driver: its UID is the incarnation. */
export interface MainObject {
  readonly source: Exclude<Source, "secret">;
  readonly object: Stored<DriverResource>;
}

/**
 * All objects as the watches last told them, joined: which pods and which Secret belong to which main object. A change
 * names the incarnations that it concerns, at a cost that does not depend on how many there are.
 */
export interface ObjectIndex {
  /** Takes in a new value. Returns the UIDs of the main objects concerned; none where an own write was newer. */
  put(source: Source, object: Stored): readonly string[];
  /** Takes in what an own request answered, before the watch tells it. A value that the watch has passed is ignored. */
  putOwn(source: Source, object: Stored): readonly string[];
  drop(source: Source, object: Stored): readonly string[];
  main(uid: string): MainObject | undefined;
  /** Differs whenever the object does. */
  version(uid: string): string | undefined;
  mains(): Iterable<MainObject>;
  named(namespace: string, name: string): readonly MainObject[];
  /** The main object's own pods; of a plain pod the pods that it made. */
  ownedPods(uid: string): readonly Stored<Pod>[];
  /** The Secret that the main object names as its token's. */
  secretOf(main: MainObject): Stored<Secret> | undefined;
  secrets(): Iterable<Stored<Secret>>;
  /** Those that go with the main object. */
  ownedSecrets(uid: string): readonly Stored<Secret>[];
  /** Whether anything of that incarnation is left: the object itself, its pods, its Secrets. */
  holds(uid: string): boolean;
}

interface Held {
  readonly source: Source;
  readonly object: Stored;
  /** From the answer to an own write: the watch may still tell of older values. */
  readonly own: boolean;
}

interface State {
  readonly held: Map<string, Held>;
  /** UIDs of main objects by `namespace/name`. */
  readonly named: Map<string, Set<string>>;
  /** UIDs of objects by an owner's UID. */
  readonly owned: Map<string, Set<string>>;
  /** UIDs of Secrets by `namespace/name`. */
  readonly secrets: Map<string, Set<string>>;
  /** UIDs of main objects by their Secret's `namespace/name`. */
  readonly users: Map<string, Set<string>>;
  /** UIDs that were deleted lately, oldest first: an answer that is late must not bring them back. */
  readonly deleted: Set<string>;
}

const maxDeleted = 10_000;

export function createObjectIndex(): ObjectIndex {
  const state: State = {
    held: new Map(),
    named: new Map(),
    owned: new Map(),
    secrets: new Map(),
    users: new Map(),
    deleted: new Set(),
  };
  const stored = (uids: Iterable<string>, source: Source) =>
    Array.from(uids, (uid) => state.held.get(uid))
      .filter((held) => held !== undefined)
      .filter((held) => held.source === source)
      .map(({ object }) => object);
  const main = (uid: string) => asMain(state.held.get(uid));
  return {
    put: (source, object) => put(state, { source, object, own: false }),
    putOwn: (source, object) =>
      state.deleted.has(object.metadata.uid) ? [] : put(state, { source, object, own: true }),
    drop: (source, object) => drop(state, source, object),
    main,
    version: (uid) => state.held.get(uid)?.object.metadata.resourceVersion,
    *mains() {
      for (const held of state.held.values()) {
        const found = asMain(held);
        if (found !== undefined) yield found;
      }
    },
    named: (namespace, name) =>
      Array.from(state.named.get(`${namespace}/${name}`) ?? [], main).filter((found) => found !== undefined),
    ownedPods: (uid) => stored(state.owned.get(uid) ?? [], "pod"),
    secretOf(main) {
      const place = secretPlace(main);
      return place === undefined ? undefined : stored(state.secrets.get(place) ?? [], "secret")[0];
    },
    *secrets() {
      for (const { source, object } of state.held.values()) if (source === "secret") yield object;
    },
    ownedSecrets: (uid) => stored(state.owned.get(uid) ?? [], "secret"),
    holds: (uid) => state.held.has(uid) || (state.owned.get(uid)?.size ?? 0) > 0,
  };
}

function asMain(held: Held | undefined): MainObject | undefined {
  if (held === undefined || held.source === "secret") return undefined;
  if (held.source === "pod" && (held.object.metadata.ownerReferences?.length ?? 0) > 0) return undefined;
  return { source: held.source, object: held.object };
}

function put(state: State, held: Held): readonly string[] {
  const { uid } = held.object.metadata;
  const before = state.held.get(uid);
  const passed = before !== undefined && (before.own || held.own) && isOlder(held.object, before.object);
  if (passed) return [];
  const concerned = before === undefined ? new Set<string>() : unlink(state, before);
  state.held.set(uid, held);
  for (const each of link(state, held)) concerned.add(each);
  return [...concerned];
}

function drop(state: State, source: Source, { metadata: { uid } }: Stored): readonly string[] {
  const before = state.held.get(uid);
  // A pod that was given other labels moves from one watch to another, in whatever order they tell it.
  if (before !== undefined && before.source !== source) return [];
  state.deleted.add(uid);
  for (const oldest of state.deleted) {
    if (state.deleted.size <= maxDeleted) break;
    state.deleted.delete(oldest);
  }
  if (before === undefined) return [];
  state.held.delete(uid);
  return [...unlink(state, before)];
}

function link(state: State, held: Held): Iterable<string> {
  return change(state, held, (map, key, uid) => {
    const uids = map.get(key) ?? new Set();
    map.set(key, uids.add(uid));
  });
}

function unlink(state: State, held: Held): Set<string> {
  return change(state, held, (map, key, uid) => {
    const uids = map.get(key);
    if (uids?.delete(uid) === true && uids.size === 0) map.delete(key);
  });
}

/** Enters an object into the maps, or takes it out. Returns the main objects that it concerns. */
function change(
  state: State,
  held: Held,
  edit: (map: Map<string, Set<string>>, key: string, uid: string) => void,
): Set<string> {
  const { uid, namespace = "", name, ownerReferences = [] } = held.object.metadata;
  const concerned = new Set<string>();
  for (const owner of ownerReferences) {
    edit(state.owned, owner.uid, uid);
    concerned.add(owner.uid);
  }
  if (held.source === "secret") {
    edit(state.secrets, `${namespace}/${name}`, uid);
    for (const user of state.users.get(`${namespace}/${name}`) ?? []) concerned.add(user);
  }
  if (asMain(held) !== undefined) {
    concerned.add(uid);
    edit(state.named, `${namespace}/${name}`, uid);
    const place = secretPlace(held);
    if (place !== undefined) edit(state.users, place, uid);
  }
  return concerned;
}

/** `namespace/name` of the Secret with the driver's token. Facts say it of our own drivers alone: others may copy them. */
function secretPlace({ source, object }: Pick<Held, "source" | "object">): string | undefined {
  const { namespace = "", annotations = {} } = object.metadata;
  const facts = annotations[annotation.facts];
  if (source === "discovered") return namedSecretPlace(object);
  const name = facts === undefined ? undefined : secretOfFacts(facts);
  return name === undefined ? undefined : `${namespace}/${name}`;
}

function secretOfFacts(text: string): string | undefined {
  try {
    const { tokenSecret } = JSON.parse(text) as Partial<DriverFacts>;
    return typeof tokenSecret === "string" ? tokenSecret : undefined;
  } catch {
    return undefined;
  }
}

/** By resourceVersion, a number that grows within one kind. */
function isOlder(one: Stored, other: Stored): boolean {
  const [a, b] = [one.metadata.resourceVersion, other.metadata.resourceVersion];
  return a.length === b.length ? a < b : a.length < b.length;
}
