import type { CheckRequest, Decision } from "../decisions/decision.ts";
import { allowed, denied, type Grant } from "../decisions/make-decision.ts";
import { printable } from "../decisions/printable.ts";
import type { Driver } from "../drivers/driver.ts";
import { bearerToken } from "../identity/bearer.ts";
import { GatewayError } from "../kernel/errors.ts";
import { resolveSessionKey } from "../sessions/session-key.ts";
import { methodOfPath, type SparkMethod } from "../spark/methods.ts";
import type { AuthorizeDeps } from "./authorize-deps.ts";
import { place } from "./authorize-place.ts";
import { logged, measured, recorded } from "./authorize-record.ts";
import { newTrail, subjectOf, type Trail } from "./authorize-trail.ts";
import { notReady } from "./not-ready.ts";
import { unlessAborted } from "./unless-aborted.ts";

/**
 * Decides about one call by its headers. Always resolves with a decision that has been recorded: whatever is thrown on
 * the way denies, an unknown cause as INTERNAL with the cause in the log only. A record that cannot be written turns an
 * allow into AUDIT_UNAVAILABLE (unless `onAuditFailure` is "allow").
 */
export function createAuthorize(deps: AuthorizeDeps): (request: CheckRequest) => Promise<Decision> {
  return async (request) => {
    const trail = newTrail(request);
    const outcome = await decide(deps, request, trail).catch((thrown: unknown) => GatewayError.from(thrown));
    const subject = subjectOf(deps, trail);
    const decision = outcome instanceof GatewayError ? denied(subject, outcome) : allowed(subject, outcome);
    if (outcome instanceof GatewayError) logged(deps, decision, outcome);
    return measured(deps, trail, await recorded(deps, decision));
  };
}

async function decide(deps: AuthorizeDeps, request: CheckRequest, trail: Trail): Promise<Grant> {
  trail.id = deps.newId();
  trail.time = deps.clock.now();
  trail.begun = deps.ticks();

  const method = methodOfPath(request.path);
  if (method === undefined) throw unknownMethod(request.path);
  trail.method = method.name;

  const token = bearerToken(request.headers);
  trail.tokenFingerprint = deps.fingerprint(token);
  const principal = await unlessAborted(request, () => deps.verifier.verify(token));
  trail.principal = principal;

  const key = resolveSessionKey({
    header: request.headers["x-spark-session-id"],
    host: request.host,
    domain: deps.sessions.domain,
    cluster: deps.sessions.cluster,
    fallback: () => deps.sessions.fallback(principal),
  });
  trail.key = key;
  if (!deps.registry.synced) throw notReady();

  const { driver, reason } = await place(deps, { request, trail, method, principal, key });
  if (deps.registry.isEnding(driver.uid)) throw ending();
  refuseNewWorkWhileDraining(driver, method);
  const profile = deps.profile(driver.profile);
  if (driver.token === undefined && !profile.allowTokenless) throw tokenless(driver);

  const cluster = deps.clusterName(driver);
  deps.called(driver.uid);
  return { reason, principal, key, route: { cluster, driver, inspect: profile.inspect } };
}

/** An idle drain is no obstacle: the call itself shows that the driver is wanted, and noting it ends the drain. */
function refuseNewWorkWhileDraining(driver: Driver, method: SparkMethod): void {
  if (driver.phase !== "draining" || driver.draining?.reason === "idle" || method.finishesWork) return;
  const why = driver.draining?.reason === "max_ttl" ? "has reached its maximum lifetime" : "is being deleted";
  throw new GatewayError(
    "DRIVER_DRAINING",
    `the driver of this session ${why} and takes no new work; what runs may finish, then reconnect`,
  );
}

const unknownMethod = (path: string): GatewayError =>
  new GatewayError("METHOD_UNKNOWN", `${printable(path, 200)} is not a Spark Connect method`);

/** It is gone in a moment; the next try finds no driver and may start one. */
const ending = (): GatewayError =>
  new GatewayError("DRIVER_DRAINING", "the driver of this session is being stopped; try again in a moment", {
    retryAfterMs: 1000,
  });

const tokenless = (driver: Driver): GatewayError =>
  new GatewayError(
    "DRIVER_TOKENLESS",
    `the driver has no token of its own and profile ${printable(driver.profile, 100)} does not set allow_tokenless`,
  );
