import type { Allowed } from "../../decisions/decision.ts";
import { ownerId } from "../../identity/principal.ts";
import { displayKey } from "../../sessions/session-key.ts";
import { type AllowedCheck, writeAllowed } from "./write-check.ts";

/**
 * The answer to Envoy that lets the call through to its driver: the cluster, the driver's own credential instead of the
 * caller's, and nothing else of what the caller sent beyond the allow-list. The route goes without inspection only where
 * the metadata's `inspect` is false.
 * @param requestHeaders the call's headers as Envoy reported them, lower-case names
 */
export function renderAllow(decision: Allowed, requestHeaders: Readonly<Record<string, string>>): Uint8Array {
  return writeAllowed(allowedCheck(decision, requestHeaders));
}

/** The same in words, for the filter that decides and inspects. */
export function allowedCheck(decision: Allowed, requestHeaders: Readonly<Record<string, string>>): AllowedCheck {
  const { driver, cluster, inspect } = decision.route;
  const token = driver.token?.reveal();
  return {
    headers: [
      [clusterHeader, cluster],
      ...(token === undefined ? [] : [["authorization", `Bearer ${token}`] as const]),
    ],
    headersToRemove: removals(requestHeaders, token !== undefined),
    responseHeaders: [["x-gatehouse-decision-id", decision.id]],
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

const clusterHeader = "x-gatehouse-cluster";

/**
 * Every header that a driver must not see. Envoy removes after it sets, so a header that we set is never named, even
 * where the caller sent one of that name.
 */
function removals(requestHeaders: Readonly<Record<string, string>>, authorized: boolean): string[] {
  const names = authorized ? ["authentication"] : ["authorization", "authentication"];
  for (const name in requestHeaders) {
    if (name === "authorization" || name === "authentication" || name === clusterHeader) continue;
    if (!passes(name, requestHeaders[name])) names.push(name);
  }
  return names;
}

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
