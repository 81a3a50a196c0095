import type { CheckRequest, DecisionSubject } from "../decisions/decision.ts";
import { printable } from "../decisions/printable.ts";
import type { Driver } from "../drivers/driver.ts";
import type { Principal } from "../identity/principal.ts";
import type { SessionKey } from "../sessions/session-key.ts";
import type { AuthorizeDeps } from "./authorize-deps.ts";

/** What is known of a call so far: it grows on the way to the verdict, so that a refusal says how far the call got. */
export interface Trail {
  /** Stays the nil UUID only where no id could be made. */
  id: string;
  time: number;
  /** When the call arrived, in {@link AuthorizeDeps.ticks}; undefined until the clock was read. */
  begun: number | undefined;
  readonly requestId: string;
  readonly sourceAddress: string;
  method: string;
  principal: Principal | undefined;
  tokenFingerprint: string | undefined;
  key: SessionKey | undefined;
  driver: Pick<Driver, "uid" | "name"> | undefined;
  heldMs: number;
}

export function newTrail(request: CheckRequest): Trail {
  return {
    id: "00000000-0000-0000-0000-000000000000",
    time: 0,
    begun: undefined,
    requestId: printable(request.requestId, 128),
    sourceAddress: printable(request.sourceAddress, 64),
    method: printable(request.path, 200),
    principal: undefined,
    tokenFingerprint: undefined,
    key: undefined,
    driver: undefined,
    heldMs: 0,
  };
}

/** The trail as it stands at the verdict. */
export function subjectOf(deps: Pick<AuthorizeDeps, "ticks">, trail: Trail): DecisionSubject {
  const { begun } = trail;
  return {
    id: trail.id,
    time: trail.time,
    requestId: trail.requestId,
    sourceAddress: trail.sourceAddress,
    method: trail.method,
    principal: trail.principal,
    tokenFingerprint: trail.tokenFingerprint,
    key: trail.key,
    driver: trail.driver,
    latencyMs: begun === undefined ? 0 : Math.max(0, elapsedSince(deps, begun)),
    heldMs: trail.heldMs,
  };
}

function elapsedSince(deps: Pick<AuthorizeDeps, "ticks">, begun: number): number {
  try {
    return deps.ticks() - begun;
  } catch {
    return 0;
  }
}
