import type { Allowed } from "../../decisions/decision.ts";
import { ownerId } from "../../identity/principal.ts";
import { displayKey } from "../../sessions/session-key.ts";
import { clusterHeader, removedForDriverHeader } from "../../snapshots/check-headers.ts";
import type { CheckAnswer } from "./check-server.ts";
import { type Facts, factHeaders } from "./facts.ts";

/** What an answer that lets a call through is made of. */
export interface AllowedCheck {
  /** Set for the driver, whatever the caller sent of that name. */
  readonly headers: readonly Header[];
  readonly headersToRemove: readonly string[];
  /** Becomes dynamic metadata of the filter that asked. */
  readonly metadata: Facts;
}

type Header = readonly [name: string, value: string];

/**
 * The answer to ext_authz that lets the call through to its driver.
 * @param requestHeaders see `allowedCheck`
 */
export function renderAllow(decision: Allowed, requestHeaders: Readonly<Record<string, string>>): CheckAnswer {
  const { headers, headersToRemove, metadata } = allowedCheck(decision, requestHeaders);
  const told = factHeaders(metadata);
  for (const [name, value] of headers) told.push(name, value);
  told.push(removedForDriverHeader, headersToRemove.join(","));
  return { status: 200, headers: told };
}

/**
 * What lets the call through to its driver: the cluster, the driver's own credential instead of the caller's, and nothing else
 * of what the caller sent beyond the allow-list. The route goes without inspection only where the metadata's `inspect` is false.
 * @param requestHeaders the call's headers as Envoy reported them, lower-case names
 */
export function allowedCheck(decision: Allowed, requestHeaders: Readonly<Record<string, string>>): AllowedCheck {
  const { driver, cluster, inspect } = decision.route;
  const token = driver.token?.reveal();
  return {
    headers: [
      [clusterHeader, cluster],
      ...(token === undefined ? [] : [["authorization", `Bearer ${token}`] as const]),
    ],
    headersToRemove: removals(requestHeaders, token !== undefined),
    metadata: {
      decision_id: decision.id,
      user_id: ownerId(decision.principal),
      user_name: decision.principal.user,
      method: decision.method,
      session: displayKey(decision.key),
      driver_uid: driver.uid,
      cluster,
      inspect,
      request_id: decision.requestId,
    },
  };
}

/**
 * Every header that a driver must not see. Envoy removes after it sets, so a header that we set is never named, even
 * where the caller sent one of that name.
 */
function removals(requestHeaders: Readonly<Record<string, string>>, authorized: boolean): string[] {
  const names = authorized ? [...alwaysRemoved] : [...alwaysRemoved, "authorization"];
  for (const name in requestHeaders) {
    if (name === "authorization" || name === clusterHeader || alwaysRemoved.includes(name)) continue;
    if (!passes(name, requestHeaders[name])) names.push(name);
  }
  return names;
}

/** The last three are nothing that ext_authz asks about. */
const alwaysRemoved: readonly string[] = ["authentication", "content-length", "expect", "trailer"];

const passed = new Set(["content-type", "te", "user-agent", "host"]);

/**
 * Headers of Envoy's own that it still needs when the filters are done, so they are not ours to remove: without
 * x-forwarded-proto it finds no route at all; x-request-id names the stream in the access log. The route configuration
 * removes the first before the driver.
 */
const neededByEnvoy = new Set(["x-forwarded-proto", "x-request-id"]);

function passes(name: string, value: string | undefined): boolean {
  if (name.startsWith(":") || passed.has(name) || neededByEnvoy.has(name)) return true;
  if (name === "grpc-encoding") return value === "identity";
  return name.startsWith("grpc-");
}
