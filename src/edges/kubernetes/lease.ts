import type { Clock } from "../../kernel/clock.ts";
import { type ApiCall, ApiError, type KubeApi } from "./api.ts";
import { collectionPath, leases, objectPath } from "./kinds.ts";
import type { Lease, Stored } from "./objects.ts";
import type { LeaseOptions } from "./options.ts";

export type LeaseSpec = NonNullable<Lease["spec"]>;
export type StoredLease = Stored<Lease>;

/** @returns undefined where there is none. @throws ApiError */
export async function readLease(
  api: KubeApi,
  { namespace, name }: LeaseOptions,
  signal: AbortSignal,
): Promise<StoredLease | undefined> {
  try {
    return await api.call<StoredLease>({ method: "GET", path: objectPath(leases, namespace, name), signal });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/**
 * Writes the Lease, new or over exactly that version of it.
 * @throws ApiError 409 where somebody else was faster
 */
export async function writeLease(
  api: KubeApi,
  { namespace, name }: LeaseOptions,
  over: StoredLease | undefined,
  spec: LeaseSpec,
  signal: AbortSignal,
): Promise<StoredLease> {
  const metadata = over?.metadata ?? { name, namespace };
  const body = { apiVersion: leases.apiVersion, kind: "Lease", metadata, spec };
  const call: Pick<ApiCall, "method" | "path"> =
    over === undefined
      ? { method: "POST", path: collectionPath(leases, namespace) }
      : { method: "PUT", path: objectPath(leases, namespace, name) };
  return await api.call<StoredLease>({ ...call, body, signal });
}

/** @param holder "" gives the Lease back. @param nowMs since the epoch; others only look whether it changes */
export function leaseSpec(before: LeaseSpec | undefined, holder: string, durationMs: number, nowMs: number): LeaseSpec {
  const now = microTime(nowMs);
  const same = before?.holderIdentity === holder;
  const transitions = before?.leaseTransitions ?? 0;
  return {
    holderIdentity: holder,
    leaseDurationSeconds: holder === "" ? 1 : Math.max(1, Math.ceil(durationMs / 1_000)),
    acquireTime: same ? (before.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: same || holder === "" || before === undefined ? transitions : transitions + 1,
  };
}

/** When somebody led; ms since the epoch. */
export interface Tenure {
  readonly from: number;
  readonly until: number;
}

/** Who holds the Lease, as one replica sees it. */
export interface Holder {
  readonly name: string | undefined;
  /** When that was first seen. ms since the epoch */
  readonly since: number;
  /** When the one before held it, where that one gave it back. */
  readonly returned: Tenure | undefined;
}

/** The holder after the Lease was seen like this. It was given back where it is there without one. */
export function nextHolder(
  before: Holder,
  lease: StoredLease | undefined,
  { clock, identity }: { readonly clock: Pick<Clock, "now">; readonly identity: string },
): Holder {
  const named = lease?.spec?.holderIdentity;
  const name = named === "" ? undefined : named;
  if (name === before.name) return before;
  const since = clock.now();
  if (name === undefined) {
    const isReturned = lease !== undefined;
    return { name, since, returned: isReturned ? { from: before.since, until: since } : undefined };
  }
  return { name, since, returned: name === identity && before.name === undefined ? before.returned : undefined };
}

/** Kubernetes' MicroTime is read with exactly six digits of a second. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}
