import type { AuditSink } from "../decisions/audit.ts";
import type { Driver } from "../drivers/driver.ts";
import type { Registry } from "../drivers/registry.ts";
import type { DriverRuntime } from "../drivers/runtime.ts";
import type { Principal } from "../identity/principal.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { SessionKey } from "../sessions/session-key.ts";

export interface AcquireRequest {
  readonly key: SessionKey;
  readonly principal: Principal;
  /** The profile to start with; needed where `create` is set. */
  readonly profile: string | undefined;
  /** Whether a driver may be started for this call. The caller has asked policy. */
  readonly create: boolean;
  readonly decisionId: string;
  /** Aborting it ends the wait. A start that was ordered goes on. */
  readonly signal: AbortSignal;
}

export interface Acquired {
  readonly driver: Driver;
  readonly heldMs: number;
}

export interface ProvisionLimits {
  /** How long a call is held. ms */
  readonly holdMs: number;
  readonly maxHoldsPerOwner: number;
  readonly maxHolds: number;
  /** How long a failed start is answered with its cause before another start is tried. ms */
  readonly failureMemoryMs: number;
}

export interface ProvisionerOptions {
  readonly runtime: Pick<DriverRuntime, "start">;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly audit: AuditSink;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly limits: ProvisionLimits;
  /** `on_demand.enabled` */
  readonly onDemand: boolean;
  /** The groups that may use the drivers of a profile besides their owners. */
  readonly sharedWith: (profile: string) => readonly string[];
  /** The name that the runtime gives to this key's driver; for the audit. */
  readonly nameOf: (key: SessionKey) => string;
  /** Called when a driver that somebody waits for is ready, before they are answered. */
  readonly publishNow?: () => void;
  /** Uniform in [0, 1). Default Math.random. */
  readonly random?: () => number;
}
