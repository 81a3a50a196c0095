import { type RecordableDecision, toDecisionRecord } from "../decisions/decision-record.ts";
import type { Driver } from "../drivers/driver.ts";
import type { Registry } from "../drivers/registry.ts";
import { bearerToken } from "../identity/bearer.ts";
import type { Principal } from "../identity/principal.ts";
import { GatewayError } from "../kernel/errors.ts";
import type { Reason } from "../kernel/reasons.ts";
import { sessionForbidden } from "../policy/access.ts";
import type { BusyCause, Usage } from "../sessions/idleness.ts";
import { displayKey, type SessionKey } from "../sessions/session-key.ts";
import type { AuthorizeDeps } from "./authorize-deps.ts";
import { newTrail, subjectOf, type Trail } from "./authorize-trail.ts";
import { notReady } from "./not-ready.ts";
import { writeInTime } from "./write-in-time.ts";

/** One call of the HTTP side that needs credentials. */
export interface ApiCall {
  /** A new UUID; the caller gets it as `x-gatehouse-decision-id` and, with an error, in the body. */
  readonly decisionId: string;
  /** The client's `x-request-id` where it sent a well-formed one, else the decision id. */
  readonly requestId: string;
  /** The peer's address; forwarded-for headers are not believed. */
  readonly sourceAddress: string;
  /** What the audit calls it. */
  readonly method: "Keepalive" | "ListSessions";
  /** `authorization` and `authentication`, duplicates joined with ",": what `bearerToken` takes. */
  readonly headers: Readonly<Record<string, string>>;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

/** A session as those who may use it see it. Times in ms since the epoch. */
export interface SessionView {
  /** `namespace/app` */
  readonly key: string;
  readonly owner: string;
  readonly profile: string;
  readonly driver: string;
  readonly driverUid: string;
  readonly phase: string;
  readonly createdAt: number;
  readonly lastActive: number | undefined;
  /** What keeps it from being idle now; empty where nothing does. */
  readonly busy: readonly BusyCause[];
  /** When it is stopped unless it is used before; undefined while it is busy. */
  readonly idleDeadline: number | undefined;
  /** When it takes no new work any more. */
  readonly ttlDeadline: number | undefined;
}

export interface ApiCallDeps
  extends Pick<AuthorizeDeps, "clock" | "ticks" | "metrics" | "audit" | "auditTimeoutMs" | "fingerprint" | "verifier"> {
  readonly registry: Pick<Registry, "byKey" | "all" | "synced">;
  readonly policy: Pick<AuthorizeDeps["policy"], "access">;
  /** Notes that somebody asked for the driver to be kept. */
  keepalive(uid: string): void;
  usage(uid: string): Usage | undefined;
  lifetimes(profile: string): { readonly idleTimeoutMs: number; readonly maxTtlMs: number };
}

/** The HTTP side's calls, decided by the same rules as Envoy's checks and recorded like them. */
export interface ApiCalls {
  /** @throws GatewayError TOKEN_*, SESSION_FORBIDDEN, AUDIT_UNAVAILABLE, NOT_READY */
  keepalive(call: ApiCall, key: SessionKey): Promise<void>;
  /** The drivers that the caller may use. @throws GatewayError TOKEN_*, AUDIT_UNAVAILABLE, NOT_READY */
  sessions(call: ApiCall): Promise<readonly SessionView[]>;
}

interface Granted<T> {
  readonly reason: Reason;
  /** Done after the record is written. */
  work(): T;
}

export function createApiCalls(deps: ApiCallDeps): ApiCalls {
  return {
    keepalive: (call, key) =>
      decided(deps, call, (principal, trail) => {
        trail.key = key;
        const driver = deps.registry.byKey(key);
        const access = driver && deps.policy.access(principal, driver);
        if (driver === undefined || access?.allow !== true) throw sessionForbidden(key);
        trail.driver = driver;
        return { reason: access.reason, work: () => deps.keepalive(driver.uid) };
      }),
    sessions: (call) =>
      decided(deps, call, (principal) => ({
        reason: "OWNER",
        work: () =>
          deps.registry
            .all()
            .filter((driver) => deps.policy.access(principal, driver).allow)
            .map((driver) => facts(deps, driver)),
      })),
  };
}

/** Verifies the caller, asks `judge`, writes the record, and only then does the work. */
async function decided<T>(
  deps: ApiCallDeps,
  call: ApiCall,
  judge: (principal: Principal, trail: Trail) => Granted<T>,
): Promise<T> {
  const trail = newTrail({ ...call, path: call.method, host: "" });
  trail.id = call.decisionId;
  trail.time = deps.clock.now();
  trail.begun = deps.ticks();
  let granted: Granted<T>;
  try {
    granted = judge(await verified(deps, call, trail), trail);
  } catch (thrown) {
    const error = GatewayError.from(thrown);
    await written(deps, { ...subjectOf(deps, trail), verdict: "deny", reason: error.reason, message: error.message });
    throw error;
  }
  await written(deps, { ...subjectOf(deps, trail), verdict: "allow", reason: granted.reason });
  return granted.work();
}

async function verified(deps: ApiCallDeps, call: ApiCall, trail: Trail): Promise<Principal> {
  const token = bearerToken(call.headers);
  trail.tokenFingerprint = deps.fingerprint(token);
  trail.principal = await deps.verifier.verify(token);
  if (!deps.registry.synced) throw notReady();
  return trail.principal;
}

async function written(deps: ApiCallDeps, decision: RecordableDecision): Promise<void> {
  const count = (verdict: "allow" | "deny", reason: Reason): void =>
    deps.metrics.count("gatehouse_decisions_total", { verdict, reason });
  try {
    await writeInTime(deps, toDecisionRecord(decision));
  } catch (thrown) {
    count("deny", GatewayError.from(thrown).reason);
    throw thrown;
  }
  count(decision.verdict, decision.reason);
}

function facts(deps: ApiCallDeps, driver: Driver): SessionView {
  const usage = deps.usage(driver.uid);
  const { idleTimeoutMs, maxTtlMs } = deps.lifetimes(driver.profile);
  const idle = usage !== undefined && usage.busy.length === 0;
  return {
    key: displayKey(driver.key),
    owner: driver.owner,
    profile: driver.profile,
    driver: driver.name,
    driverUid: driver.uid,
    phase: driver.phase,
    createdAt: driver.createdAt,
    lastActive: usage?.lastActive,
    busy: usage?.busy ?? [],
    idleDeadline: idle ? usage.lastActive + idleTimeoutMs : undefined,
    ttlDeadline: driver.createdAt + maxTtlMs,
  };
}
