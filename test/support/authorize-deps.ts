import type { AuditRecord } from "../../src/decisions/audit.ts";
import type { CheckRequest } from "../../src/decisions/decision.ts";
import type { Driver } from "../../src/drivers/driver.ts";
import type { AuthorizeDeps } from "../../src/flows/authorize-deps.ts";
import { ownerId, type Principal } from "../../src/identity/principal.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { GatewayError } from "../../src/kernel/errors.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";
import { Secret } from "../../src/kernel/secret.ts";
import { evaluateAccess } from "../../src/policy/access.ts";
import type { SessionKey } from "../../src/sessions/session-key.ts";

export const alice: Principal = {
  issuer: "https://issuer.example",
  issuerName: "dev",
  subject: "alice-sub",
  user: "alice",
  groups: ["engineers"],
  team: "data",
  tokenFingerprint: "00112233aabbccdd",
  expiresAt: Date.parse("2100-01-01T00:00:00Z"),
};
export const bob: Principal = { ...alice, subject: "bob-sub", user: "bob", tokenFingerprint: "ffeeddccbbaa0011" };
export const etl: SessionKey = { cluster: "local", namespace: "sjns-data-dev", app: "etl" };

export function driverOf(principal: Principal, changes: Partial<Driver> = {}): Driver {
  return {
    uid: "uid-1",
    name: "gh-etl",
    key: etl,
    owner: ownerId(principal),
    ownerUser: principal.user,
    sharedWithGroups: [],
    profile: "interactive",
    phase: "ready",
    address: { host: "127.0.0.2", port: 15002 },
    token: new Secret("driver-token-of-etl"),
    createdAt: 1,
    draining: undefined,
    failure: undefined,
    recorded: undefined,
    ...changes,
  };
}

export function requestOf(changes: Partial<CheckRequest> = {}): CheckRequest {
  return {
    requestId: "req-1",
    sourceAddress: "127.0.0.1",
    path: "/spark.connect.SparkConnectService/ExecutePlan",
    host: "localhost:15003",
    headers: { authorization: "Bearer alice", "x-spark-session-id": "sjns-data-dev.etl" },
    signal: new AbortController().signal,
    ...changes,
  };
}

/** What a set of dependencies saw. */
export interface Seen {
  readonly records: AuditRecord[];
  readonly called: string[];
  readonly acquired: string[];
  readonly logged: { readonly message: string; readonly fields: unknown }[];
  readonly counted: { readonly name: string; readonly labels: unknown }[];
}

/** Dependencies under which alice (token "alice") owns a ready driver, and what they saw. */
export function depsWith(changes: Partial<AuthorizeDeps> = {}): { deps: AuthorizeDeps; seen: Seen } {
  const seen: Seen = { records: [], called: [], acquired: [], logged: [], counted: [] };
  let ids = 0;
  const log = (message: string, fields?: unknown): void => void seen.logged.push({ message, fields });
  const deps: AuthorizeDeps = {
    clock: systemClock,
    ticks: () => performance.now(),
    log: { ...silentLog, warn: log, error: log },
    metrics: { ...noMetrics, count: (name, labels) => void seen.counted.push({ name, labels }) },
    audit: { write: async (record) => void seen.records.push(record) },
    onAuditFailure: "deny",
    auditTimeoutMs: 2_000,
    newId: () => `decision-${++ids}`,
    fingerprint: (token) => `fp-${token}`,
    verifier: {
      verify: async (token) => {
        if (token === "alice") return alice;
        if (token === "bob") return bob;
        throw new GatewayError("TOKEN_MALFORMED", "the credential is not a signed JWT");
      },
    },
    sessions: {
      cluster: "local",
      domain: "spark.example.com",
      fallback: () => ({ cluster: "local", namespace: "sjns-data-dev", app: "default" }),
    },
    registry: { synced: true, byKey: () => driverOf(alice), isEnding: () => false },
    policy: {
      access: (principal, driver) => evaluateAccess(principal, driver, { groups: [], owners: [] }),
      creation: (principal) => (principal === alice ? { profile: "interactive" } : undefined),
    },
    acquire: async (request) => {
      seen.acquired.push(request.profile ?? "none");
      return { driver: driverOf(request.principal), heldMs: 1 };
    },
    profile: () => ({ inspect: true, allowTokenless: false }),
    clusterName: (driver) => `driver|${driver.key.namespace}/${driver.key.app}|${driver.uid}`,
    called: (uid) => void seen.called.push(uid),
    ...changes,
  };
  return { deps, seen };
}
