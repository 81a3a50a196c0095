import { setTimeout as delay } from "node:timers/promises";
import { collectionPath } from "../../../src/edges/kubernetes/kinds.ts";
import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";
import type { Collection, KubeAdmin } from "./access.ts";

/** An object as it comes from a list or a watch. */
export type Watchable = Pick<KubeObject, "metadata"> & {
  readonly metadata: { readonly uid: string; readonly resourceVersion: string };
};

export interface WatchEvents<T extends Watchable> {
  /** The object as it is now. */
  onObject(object: T): void;
  /** There is none with this UID any more. */
  onGone(uid: string): void;
  /** UIDs that a new list is compared with. */
  known(): Iterable<string>;
}

const retryMs = 200;

/** Lists and watches a collection in all namespaces until the signal aborts; what breaks is tried again. Never rejects. */
export async function watchAll<T extends Watchable>(
  admin: KubeAdmin,
  of: Collection,
  signal: AbortSignal,
  events: WatchEvents<T>,
): Promise<void> {
  const path = collectionPath(of, undefined);
  let version: string | undefined;
  while (!signal.aborted) {
    try {
      version ??= await list(admin, path, events);
      version = await watchOnce(admin, path, version, signal, events);
    } catch {
      version = undefined;
      await delay(retryMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

interface List<T> {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly T[];
}

async function list<T extends Watchable>(admin: KubeAdmin, path: string, events: WatchEvents<T>): Promise<string> {
  const { metadata, items } = await admin.request<List<T>>("GET", path);
  const there = new Set(items.map((object) => object.metadata.uid));
  for (const uid of events.known()) if (!there.has(uid)) events.onGone(uid);
  for (const object of items) events.onObject(object);
  return metadata.resourceVersion;
}

/** @returns the version to go on from; undefined where a new list is needed */
async function watchOnce<T extends Watchable>(
  admin: KubeAdmin,
  path: string,
  from: string,
  signal: AbortSignal,
  events: WatchEvents<T>,
): Promise<string | undefined> {
  const query = { watch: true, resourceVersion: from, allowWatchBookmarks: true, timeoutSeconds: 300 };
  const answer = await admin.open(path, query, signal);
  let version = from;
  let rest = "";
  for await (const chunk of answer.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const { type, object } = JSON.parse(line) as { readonly type: string; readonly object: T };
      if (type === "ERROR") return undefined;
      version = object.metadata.resourceVersion;
      if (type === "DELETED") events.onGone(object.metadata.uid);
      else if (type !== "BOOKMARK") events.onObject(object);
    }
  }
  return version;
}
