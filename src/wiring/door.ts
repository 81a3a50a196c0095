import { randomUUID } from "node:crypto";
import type { Config } from "../config/resolve.ts";
import type { AuditSink } from "../decisions/audit.ts";
import type { CheckRequest, Decision } from "../decisions/decision.ts";
import type { Registry } from "../drivers/registry.ts";
import { createTokenVerifier } from "../edges/oidc/token-verifier.ts";
import { type ApiCalls, createApiCalls } from "../flows/api-calls.ts";
import { createAuthorize } from "../flows/authorize.ts";
import { createInspect } from "../flows/inspect.ts";
import type { Provisioner } from "../flows/provision.ts";
import type { RecordActivity } from "../flows/record-activity.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { evaluateAccess } from "../policy/access.ts";
import { creationGrant } from "../policy/creation.ts";
import type { Usage } from "../sessions/idleness.ts";
import { driverClusterName } from "../snapshots/cluster-name.ts";
import { defaultSession, lifetimesOf, policyRules, profileOf, verifierSettings } from "./settings.ts";

/** What every part shares. */
export interface Kernel {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly audit: AuditSink;
}

export interface DoorParts {
  readonly registry: Registry;
  readonly provisioner: Provisioner;
  usage(uid: string): Usage | undefined;
  readonly recordActivity: RecordActivity;
}

/** Everything that decides about calls: their headers, their bodies, and the HTTP side's. */
export interface Door {
  authorize(request: CheckRequest): Promise<Decision>;
  readonly inspect: ReturnType<typeof createInspect>;
  readonly api: ApiCalls;
  close(): void;
}

/** @throws Error naming every fault of the issuers */
export function createDoor(kernel: Kernel, parts: DoorParts): Door {
  const { config } = kernel;
  const { registry, provisioner, recordActivity } = parts;
  const rules = policyRules(config);
  const verifier = createTokenVerifier({ ...verifierSettings(config), ...kernel });
  const shared = {
    ...kernel,
    ticks: () => performance.now(),
    onAuditFailure: config.audit.on_failure,
    auditTimeoutMs: config.audit.timeout_ms,
    fingerprint: (token: string) => verifier.fingerprint(token),
    verifier,
    registry,
    policy: {
      access: (principal, driver) => evaluateAccess(principal, driver, rules.admins),
      creation: (principal, key) => creationGrant(principal, key, rules),
    } satisfies Parameters<typeof createAuthorize>[0]["policy"],
  };
  return {
    authorize: createAuthorize({
      ...shared,
      newId: randomUUID,
      sessions: { cluster: config.cluster, domain: config.listen.domain, fallback: defaultSession(config) },
      acquire: (request) => provisioner.acquire(request),
      profile(name) {
        const profile = profileOf(config, name);
        return { inspect: profile.inspection, allowTokenless: profile.allow_tokenless };
      },
      clusterName: driverClusterName,
      called: (uid) => recordActivity.called(uid),
    }),
    inspect: createInspect({
      ...shared,
      maxMessageBytes: config.inspection.max_message_bytes,
      connectSessionBelongsElsewhere: (connectSession, uid) => belongsElsewhere(registry, connectSession, uid),
      activity: {
        message: (uid, decisionId, call) => recordActivity.message(uid, decisionId, call),
        refused: (uid, call) => recordActivity.refused(uid, call),
      },
    }),
    api: createApiCalls({
      ...shared,
      keepalive: (uid) => recordActivity.keepalive(uid),
      usage: (uid) => parts.usage(uid),
      lifetimes: lifetimesOf(config),
    }),
    close: () => verifier.close(),
  };
}

/** A driver that this replica does not know yet was allowed by another one, which knew: nothing speaks against it. */
function belongsElsewhere(registry: Registry, connectSession: string, uid: string): boolean {
  const driver = registry.byUid(uid);
  if (driver === undefined) return false;
  const known = registry.connectSessionDriver(driver.key, connectSession);
  return known !== undefined && known !== uid;
}
