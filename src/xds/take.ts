import type { ResourceCache, VersionedResource } from "./resource-cache.ts";
import type { Subscription, UnknownNames } from "./subscription.ts";

/** Up to `limit` resources to send now, noted as given to the client. Call after `settle`. */
export function takeResources(
  sub: Subscription,
  cache: ResourceCache,
  unknown: UnknownNames,
  limit: number,
): VersionedResource[] {
  const taken: VersionedResource[] = [];
  for (const name of sub.halves.shift() ?? sub.toSend) {
    if (taken.length >= limit) break;
    sub.toSend.delete(name);
    const resource = cache.get(sub.typeUrl, name) ?? unknown.placeholder(sub.typeUrl, name);
    if (resource === undefined || (!sub.wildcard && !sub.named.has(name))) continue;
    sub.owed.delete(name);
    sub.has.set(name, resource.version);
    taken.push(resource);
  }
  return taken;
}

/** All names to report as removed now. Call after `settle`. */
export function takeRemovals(sub: Subscription): string[] {
  const names = [...sub.toRemove];
  sub.toRemove.clear();
  for (const name of names) {
    sub.owed.delete(name);
    sub.has.delete(name);
  }
  return names;
}
