import type { CheckRequest } from "../decisions/decision.ts";
import type { Driver } from "../drivers/driver.ts";
import { ownerId, type Principal } from "../identity/principal.ts";
import { GatewayError } from "../kernel/errors.ts";
import type { Reason } from "../kernel/reasons.ts";
import { sessionForbidden } from "../policy/access.ts";
import { type SessionKey, sessionKeyId } from "../sessions/session-key.ts";
import type { SparkMethod } from "../spark/methods.ts";
import type { AuthorizeDeps } from "./authorize-deps.ts";
import type { Trail } from "./authorize-trail.ts";
import { unlessAborted } from "./unless-aborted.ts";

interface PlaceRequest {
  readonly request: CheckRequest;
  readonly trail: Trail;
  readonly method: SparkMethod;
  readonly principal: Principal;
  readonly key: SessionKey;
}

interface Placed {
  readonly driver: Driver;
  /** Why the caller may use it. */
  readonly reason: Reason;
}

/**
 * Finds the session's driver for a caller who may use it, or has one started where policy lets the caller create the
 * session, and waits until it takes calls.
 * @throws GatewayError SESSION_FORBIDDEN, DRIVER_ABSENT and all that the provisioner throws
 */
export async function place(deps: AuthorizeDeps, call: PlaceRequest): Promise<Placed> {
  const known = deps.registry.byKey(call.key);
  if (known === undefined) return { driver: await start(deps, call), reason: "CREATED" };

  call.trail.driver = known;
  const reason = reasonFor(deps, call, known);
  if (known.phase === "ready" || known.phase === "draining") return { driver: known, reason };
  if (known.phase === "failed" && deps.policy.creation(call.principal, call.key) !== undefined) {
    return { driver: await start(deps, call), reason };
  }
  // Where nobody may start another one, whoever may use the one that failed is told why.
  return { driver: await hold(deps, call, undefined), reason };
}

/** Why the caller may use this driver. @throws GatewayError SESSION_FORBIDDEN, the same as for a session that is not there */
function reasonFor(deps: AuthorizeDeps, { principal, key }: PlaceRequest, driver: Driver): Reason {
  const access = deps.policy.access(principal, driver);
  if (!access.allow) throw sessionForbidden(key);
  return access.reason;
}

/**
 * A call that only follows up on earlier work never starts a driver: the work went with the driver that had it.
 * ReattachExecute does: PySpark sends it, too, when its ExecutePlan was turned away and never reached a driver. The new
 * driver does not know the operation and says so, upon which the client executes again.
 */
async function start(deps: AuthorizeDeps, call: PlaceRequest): Promise<Driver> {
  const grant = deps.policy.creation(call.principal, call.key);
  if (grant === undefined) throw sessionForbidden(call.key);
  if (!call.method.startsWork && call.method.name !== "ReattachExecute") {
    throw new GatewayError("DRIVER_ABSENT", `the session has no driver, so there is nothing to ${call.method.name}`);
  }
  return hold(deps, call, grant.profile);
}

/**
 * Waits for the driver; with a profile it is started where it is not there. Policy is asked again about what came of
 * it, also about a failure: another caller's start may have won, and its driver is not this caller's to use or to read.
 */
async function hold(deps: AuthorizeDeps, call: PlaceRequest, profile: string | undefined): Promise<Driver> {
  const { request, trail, principal, key } = call;
  const order = {
    key,
    principal,
    profile,
    create: profile !== undefined,
    decisionId: trail.id,
    signal: request.signal,
  };
  const begun = deps.ticks();
  try {
    const { driver } = await unlessAborted(request, () => deps.acquire(order));
    trail.driver = driver;
    if (sessionKeyId(driver.key) !== sessionKeyId(key))
      throw new Error("the driver acquired has another session's key");
    reasonFor(deps, call, driver);
    return driver;
  } catch (thrown) {
    const current = deps.registry.byKey(key);
    if (current !== undefined) reasonFor(deps, call, current);
    throw withoutOthersLog(thrown, principal);
  } finally {
    trail.heldMs = Math.max(0, deps.ticks() - begun);
  }
}

/** A start that failed for somebody else, and left no driver to ask policy about: its log is theirs. */
function withoutOthersLog(thrown: unknown, principal: Principal): unknown {
  if (!(thrown instanceof GatewayError) || thrown.reason !== "DRIVER_FAILED") return thrown;
  const owner = thrown.fields["owner"];
  if (owner === undefined || owner === ownerId(principal)) return thrown;
  return new GatewayError("DRIVER_FAILED", "the driver could not start a moment ago, for another user; try again soon");
}
