import type { Secret } from "../kernel/secret.ts";
import type { Driver } from "./driver.ts";

/** Whether both say the same about everything that routing, policy and people see: all but what was recorded of its use. */
export function sameButRecorded(a: Driver, b: Driver): boolean {
  return (
    a.uid === b.uid &&
    a.name === b.name &&
    a.owner === b.owner &&
    a.ownerUser === b.ownerUser &&
    a.profile === b.profile &&
    a.phase === b.phase &&
    a.createdAt === b.createdAt &&
    sameSecret(a.token, b.token) &&
    sameJson(a.key, b.key) &&
    sameJson(a.address, b.address) &&
    sameJson(a.sharedWithGroups, b.sharedWithGroups) &&
    sameJson(a.draining, b.draining) &&
    sameJson(a.failure, b.failure)
  );
}

/** Whether both say the same about everything. */
export function sameDriver(a: Driver, b: Driver): boolean {
  return sameButRecorded(a, b) && sameJson(a.recorded, b.recorded);
}

function sameSecret(a: Secret | undefined, b: Secret | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.equals(b);
}

/** Plain data, compared without regard to the order of fields. */
function sameJson(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = Object.entries(a);
  const right = new Map<string, unknown>(Object.entries(b));
  return (
    left.length === right.size && left.every(([name, value]) => right.has(name) && sameJson(value, right.get(name)))
  );
}
