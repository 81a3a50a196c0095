import type { Driver } from "../drivers/driver.ts";
import type { Registry } from "../drivers/registry.ts";
import type { Principal } from "../identity/principal.ts";
import type { TokenVerifier } from "../identity/token-verifier.ts";
import type { Log } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Access } from "../policy/access.ts";
import type { CreationGrant } from "../policy/creation.ts";
import type { SessionKey } from "../sessions/session-key.ts";
import type { Acquired, AcquireRequest } from "./provision-deps.ts";
import type { WriteInTimeDeps } from "./write-in-time.ts";

/** What a profile says about a call's way to its driver. */
export interface RouteProfile {
  /** Whether request messages are inspected and stamped. Off only for drivers with a single owner. */
  readonly inspect: boolean;
  /** Whether a driver without a token of its own may be used. */
  readonly allowTokenless: boolean;
}

/** Everything that a decision depends on. Each may throw; a decision comes out all the same. */
export interface AuthorizeDeps extends WriteInTimeDeps {
  /** Monotonic time in milliseconds with fractions, for durations. */
  ticks(): number;
  readonly log: Log;
  readonly metrics: Metrics;
  /** What an allow becomes when its record cannot be written: "deny" refuses the call, "allow" lets it pass unrecorded. */
  readonly onAuditFailure: "deny" | "allow";
  /** A new UUID. */
  newId(): string;
  /** The first 16 hex digits of the token's SHA-256. */
  fingerprint(token: string): string;
  readonly verifier: TokenVerifier;
  readonly sessions: {
    /** The cluster of every key. */
    readonly cluster: string;
    /** The domain of host names per session (lower case, no leading or trailing dot); undefined: hosts name nothing. */
    readonly domain: string | undefined;
    /** The session of a caller who names none. @throws GatewayError SESSION_KEY_NEEDED */
    fallback(principal: Principal): SessionKey;
  };
  readonly registry: Pick<Registry, "synced" | "byKey" | "isEnding">;
  readonly policy: {
    /** Whether the caller may use this driver. */
    access(principal: Principal, driver: Driver): Access;
    /** With which profile the caller may start this session; undefined: not at all. */
    creation(principal: Principal, key: SessionKey): Pick<CreationGrant, "profile"> | undefined;
  };
  /** The provisioner's `acquire`. */
  acquire(request: AcquireRequest): Promise<Acquired>;
  profile(name: string): RouteProfile;
  /** The name under which Envoy knows this incarnation. */
  clusterName(driver: Driver): string;
  /** Notes that an allowed call is on its way to this driver; an idle drain ends here. */
  called(uid: string): void;
}
