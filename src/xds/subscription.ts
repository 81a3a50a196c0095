import type { ResourceCache, VersionedResource } from "./resource-cache.ts";

/** What one stream wants of one type, what it has, and what it is still to be told. Changed only by the functions here. */
export interface Subscription {
  readonly typeUrl: string;
  wildcard: boolean;
  readonly named: Set<string>;
  /** Versions that the client has been given, or says that it has. */
  readonly has: Map<string, string>;
  /** Names to look at again. */
  readonly dirty: Set<string>;
  /** Names that must be answered although nothing may have changed. */
  readonly owed: Set<string>;
  /** Unknown names that may still become known, and until when (ms) they are awaited. */
  readonly held: Map<string, number>;
  readonly toSend: Set<string>;
  readonly toRemove: Set<string>;
  /** A first wildcard request is answered even when there is nothing. */
  owesEmpty: boolean;
  /** Sent before all others, apart: halves of a refused response, so that the good ones get through; what is urgent. */
  readonly halves: (readonly string[])[];
}

export interface SubscriptionChange {
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialVersions: Readonly<Record<string, string>>;
}

/** How unknown names of a type are answered. */
export interface UnknownNames {
  /** A resource that stands in for an unknown one, or undefined: then it is reported as removed. */
  placeholder(typeUrl: string, name: string): VersionedResource | undefined;
  /** Until when (ms) this unknown name is awaited; undefined: not at all. */
  awaitUntil(typeUrl: string, name: string, now: number): number | undefined;
}

export function newSubscription(typeUrl: string): Subscription {
  return {
    typeUrl,
    wildcard: false,
    named: new Set(),
    has: new Map(),
    dirty: new Set(),
    owed: new Set(),
    held: new Map(),
    toSend: new Set(),
    toRemove: new Set(),
    owesEmpty: false,
    halves: [],
  };
}

/** The first request of a stream for a type: it brings versions from an earlier stream, and may be a bare wildcard. */
export function begin(
  sub: Subscription,
  change: SubscriptionChange,
  cache: ResourceCache,
  wildcardType: boolean,
): void {
  for (const [name, version] of Object.entries(change.initialVersions)) sub.has.set(name, version);
  if (wildcardType && change.subscribe.length === 0) coverAll(sub, cache);
  update(sub, change, cache);
  sub.owesEmpty = sub.wildcard && sub.has.size === 0;
  // What the client kept from before and still has in this version needs no answer.
  for (const name of sub.has.keys()) sub.owed.delete(name);
}

export function update(sub: Subscription, change: SubscriptionChange, cache: ResourceCache): void {
  for (const name of change.subscribe) {
    if (name === "*") coverAll(sub, cache);
    else {
      sub.named.add(name);
      answer(sub, name);
    }
  }
  for (const name of change.unsubscribe) {
    if (name === "*") uncoverAll(sub);
    else {
      sub.named.delete(name);
      sub.held.delete(name);
      // The wildcard may cover the name still; the client cannot know, so it is told either way.
      if (sub.wildcard) answer(sub, name);
      else forget(sub, name);
    }
  }
}

/** The client must be told about this name, changed or not. */
export function answer(sub: Subscription, name: string): void {
  sub.owed.add(name);
  sub.dirty.add(name);
}

/** Decides for every dirty name whether it is sent, removed, awaited or of no interest. */
export function settle(sub: Subscription, cache: ResourceCache, unknown: UnknownNames, now: number): void {
  for (const [name, until] of sub.held) if (until <= now) sub.dirty.add(name);
  for (const name of sub.dirty) settleOne(sub, name, cache, unknown, now);
  sub.dirty.clear();
}

function settleOne(sub: Subscription, name: string, cache: ResourceCache, unknown: UnknownNames, now: number): void {
  sub.toSend.delete(name);
  sub.toRemove.delete(name);
  const owed = sub.owed.has(name);
  if (!owed && !sub.wildcard && !sub.named.has(name)) return;
  const version = cache.get(sub.typeUrl, name)?.version;
  if (version !== undefined) {
    sub.held.delete(name);
    if (owed || sub.has.get(name) !== version) sub.toSend.add(name);
    return;
  }
  if (sub.has.has(name)) sub.toRemove.add(name);
  else if (owed) settleUnknown(sub, name, unknown, now);
}

function settleUnknown(sub: Subscription, name: string, unknown: UnknownNames, now: number): void {
  if (unknown.placeholder(sub.typeUrl, name) !== undefined) {
    sub.toSend.add(name);
    return;
  }
  const until = sub.held.get(name) ?? unknown.awaitUntil(sub.typeUrl, name, now);
  if (until !== undefined && until > now) {
    sub.held.set(name, until);
    return;
  }
  sub.held.delete(name);
  sub.toRemove.add(name);
}

function coverAll(sub: Subscription, cache: ResourceCache): void {
  sub.wildcard = true;
  for (const name of cache.names(sub.typeUrl)) sub.dirty.add(name);
  for (const name of sub.has.keys()) sub.dirty.add(name);
}

function uncoverAll(sub: Subscription): void {
  sub.wildcard = false;
  for (const name of sub.has.keys()) if (!sub.named.has(name)) forget(sub, name);
}

function forget(sub: Subscription, name: string): void {
  sub.has.delete(name);
  sub.owed.delete(name);
  sub.dirty.delete(name);
  sub.toSend.delete(name);
  sub.toRemove.delete(name);
}
