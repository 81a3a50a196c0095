import type { Driver } from "../drivers/driver.ts";
import type { Principal } from "../identity/principal.ts";
import type { Reason } from "../kernel/reasons.ts";
import type { SessionKey } from "../sessions/session-key.ts";

/** One call at the door, as Envoy saw its headers. */
export interface CheckRequest {
  /** Envoy's `x-request-id`. */
  readonly requestId: string;
  /** Client address without port. */
  readonly sourceAddress: string;
  /** `:path`. */
  readonly path: string;
  /** `:authority`. */
  readonly host: string;
  /** Request headers, lower-case names; Envoy joins duplicates with ",". */
  readonly headers: Readonly<Record<string, string>>;
  /** Aborted when Envoy gives up on this check (client gone, timeout). */
  readonly signal: AbortSignal;
}

/** What a decision is about, as far as it got before the verdict. */
export interface DecisionSubject {
  /** A UUID; given to the client as `x-gatehouse-decision-id` and joins the audit records. */
  readonly id: string;
  /** When the call arrived, ms since the epoch. */
  readonly time: number;
  readonly requestId: string;
  readonly sourceAddress: string;
  /** A Spark Connect method's short name ("ExecutePlan"), or the raw path (at most 200 characters) where it is none. */
  readonly method: string;
  readonly principal: Principal | undefined;
  /** The token's fingerprint where a token was sent, even when it was refused. */
  readonly tokenFingerprint: string | undefined;
  readonly key: SessionKey | undefined;
  readonly driver: Pick<Driver, "uid" | "name"> | undefined;
  /** How long it took, held time included, in milliseconds. */
  readonly latencyMs: number;
  /** How long the call was held for its driver, in milliseconds. */
  readonly heldMs: number;
}

export interface Allowed extends DecisionSubject {
  readonly verdict: "allow";
  readonly reason: Reason;
  readonly principal: Principal;
  readonly key: SessionKey;
  readonly route: {
    readonly cluster: string;
    readonly driver: Driver;
    /** Whether request messages are inspected and stamped. */
    readonly inspect: boolean;
  };
}

export interface Denied extends DecisionSubject {
  readonly verdict: "deny";
  readonly reason: Reason;
  /** Safe for the client. */
  readonly message: string;
  readonly retryAfterMs: number | undefined;
  readonly fields: Readonly<Record<string, string>>;
}

/** The verdict together with all that it was about. Made once, rendered later: to Envoy, to the audit, to metrics. */
export type Decision = Allowed | Denied;
