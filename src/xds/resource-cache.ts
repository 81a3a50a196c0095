/** One resource as it is sent: its version changes exactly when its bytes do. */
export interface VersionedResource {
  readonly name: string;
  readonly version: string;
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
}

/** Messages by type URL and name. */
export type ResourceSet = Readonly<Record<string, ReadonlyMap<string, object>>>;

/** What changes: messages by type URL and name; undefined: the resource is gone. */
export type ResourceDelta = Readonly<Record<string, ReadonlyMap<string, object | undefined>>>;

/** Names by type URL that were added, changed or removed. */
export type CacheChange = ReadonlyMap<string, ReadonlySet<string>>;

export interface ResourceCache {
  /** Whether there has been a first set. Until then nobody may conclude that something does not exist. */
  readonly ready: boolean;
  get(typeUrl: string, name: string): VersionedResource | undefined;
  names(typeUrl: string): Iterable<string>;
  size(typeUrl: string): number;
  /**
   * Takes over a new set in one step and tells the listeners what differs. A message that is the same object as before
   * is not encoded again.
   * @throws whatever `encode` throws; the cache then still holds the old set
   */
  replace(set: ResourceSet): CacheChange;
  /**
   * Takes over what changes and leaves the rest as it is: costs what the delta holds, whatever the cache holds.
   * @throws Error before the first set; whatever `encode` throws, and then nothing was taken over
   */
  apply(delta: ResourceDelta): CacheChange;
  /** Returns the function that ends it. */
  onChange(listener: (change: CacheChange) => void): () => void;
}

export interface CacheOptions {
  readonly encode: (typeUrl: string, message: object) => Uint8Array;
  /** A digest of the bytes; equal on every replica, so that Envoy may reconnect anywhere. */
  readonly hash: (bytes: Uint8Array) => string;
}

interface Entry {
  readonly message: object;
  readonly resource: VersionedResource;
}

type Entries = Map<string, Map<string, Entry>>;

/** All resources as last published, shared by all streams. */
export function createResourceCache(options: CacheOptions): ResourceCache {
  let current: Entries = new Map();
  let ready = false;
  const listeners = new Set<(change: CacheChange) => void>();
  const tell = (change: CacheChange): void => {
    for (const listener of listeners) listener(change);
  };
  return {
    get ready() {
      return ready;
    },
    get: (typeUrl, name) => current.get(typeUrl)?.get(name)?.resource,
    names: (typeUrl) => current.get(typeUrl)?.keys() ?? [],
    size: (typeUrl) => current.get(typeUrl)?.size ?? 0,
    replace(set) {
      const next = encodeAll(set, current, options);
      const change = difference(current, next);
      current = next;
      const news = change.size > 0 || !ready;
      ready = true;
      if (news) tell(change);
      return change;
    },
    apply(delta) {
      if (!ready) throw new Error("resources changed before there were any");
      const change = takeOver(current, encodeChanges(delta, current, options));
      if (change.size > 0) tell(change);
      return change;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

function encodeAll(set: ResourceSet, current: Entries, options: CacheOptions): Entries {
  const next: Entries = new Map();
  for (const [typeUrl, byName] of Object.entries(set)) {
    const before = current.get(typeUrl);
    const entries = new Map<string, Entry>();
    for (const [name, message] of byName) {
      const known = before?.get(name);
      entries.set(name, known?.message === message ? known : entryOf(typeUrl, name, message, options));
    }
    next.set(typeUrl, entries);
  }
  return next;
}

function entryOf(typeUrl: string, name: string, message: object, { encode, hash }: CacheOptions): Entry {
  const bytes = encode(typeUrl, message);
  return { message, resource: { name, typeUrl, bytes, version: hash(bytes) } };
}

type Changes = ReadonlyMap<string, ReadonlyMap<string, Entry | undefined>>;

function encodeChanges(delta: ResourceDelta, current: Entries, options: CacheOptions): Changes {
  const changes = new Map<string, Map<string, Entry | undefined>>();
  for (const [typeUrl, byName] of Object.entries(delta)) {
    const before = current.get(typeUrl);
    const entries = new Map<string, Entry | undefined>();
    for (const [name, message] of byName) {
      if (before?.get(name)?.message === message) continue;
      entries.set(name, message === undefined ? undefined : entryOf(typeUrl, name, message, options));
    }
    changes.set(typeUrl, entries);
  }
  return changes;
}

/** Nothing here can fail, so a delta is taken over as a whole or, when it cannot be encoded, not at all. */
function takeOver(current: Entries, changes: Changes): CacheChange {
  const change = new Map<string, ReadonlySet<string>>();
  for (const [typeUrl, byName] of changes) {
    const entries = current.get(typeUrl) ?? new Map<string, Entry>();
    current.set(typeUrl, entries);
    const names = new Set<string>();
    for (const [name, entry] of byName) {
      if (entries.get(name)?.resource.version !== entry?.resource.version) names.add(name);
      if (entry === undefined) entries.delete(name);
      else entries.set(name, entry);
    }
    if (names.size > 0) change.set(typeUrl, names);
  }
  return change;
}

function difference(before: Entries, after: Entries): CacheChange {
  const change = new Map<string, ReadonlySet<string>>();
  for (const typeUrl of new Set([...before.keys(), ...after.keys()])) {
    const was = before.get(typeUrl) ?? new Map<string, Entry>();
    const is = after.get(typeUrl) ?? new Map<string, Entry>();
    const names = new Set<string>();
    for (const [name, entry] of is) if (was.get(name)?.resource.version !== entry.resource.version) names.add(name);
    for (const name of was.keys()) if (!is.has(name)) names.add(name);
    if (names.size > 0) change.set(typeUrl, names);
  }
  return change;
}
