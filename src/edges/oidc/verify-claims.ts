import { errors, type JWTPayload, jwtVerify } from "jose";
import type { IssuerConfig } from "../../identity/issuer.ts";
import { GatewayError } from "../../kernel/errors.ts";
import type { VerificationKey } from "./verification-key.ts";

export interface ClaimChecks {
  readonly config: IssuerConfig;
  readonly alg: string;
  /** ms since the epoch */
  readonly now: number;
  readonly clockSkewSeconds: number;
}

/**
 * A jose failure in our words. Claims are checked only after the signature, so these messages tell nothing to someone
 * who cannot sign. Causes are dropped: jose's errors carry the claims, which belong in no log.
 */
function refusal(thrown: unknown, config: IssuerConfig): GatewayError {
  if (thrown instanceof errors.JWTExpired) {
    return new GatewayError("TOKEN_EXPIRED", "the token has expired; get a new one and reconnect");
  }
  if (thrown instanceof errors.JWSSignatureVerificationFailed) {
    return new GatewayError("TOKEN_SIGNATURE_INVALID", "the token's signature does not verify; get a new token");
  }
  if (thrown instanceof errors.JWTClaimValidationFailed) {
    if (thrown.claim === "aud") {
      return new GatewayError(
        "TOKEN_AUDIENCE_WRONG",
        `the token is meant for another audience (aud); request one for ${config.audiences.join(" or ")}`,
      );
    }
    if (thrown.claim === "nbf" && thrown.reason === "check_failed") {
      return new GatewayError("TOKEN_NOT_YET_VALID", "the token is not valid yet (nbf); check the clocks");
    }
    return new GatewayError("TOKEN_CLAIM_INVALID", `the token's claim ${thrown.claim} is missing or malformed`);
  }
  if (thrown instanceof errors.JOSEError) {
    return new GatewayError("TOKEN_MALFORMED", "the token is not a well-formed signed JWT; send it exactly as issued");
  }
  return GatewayError.from(thrown);
}

function checkIssuedAt(payload: JWTPayload, now: number, skewSeconds: number): void {
  if (payload.iat !== undefined && payload.iat > Math.floor(now / 1000) + skewSeconds) {
    throw new GatewayError("TOKEN_NOT_YET_VALID", "the token was issued in the future (iat); check the clocks");
  }
}

/**
 * Verifies signature, issuer, audience and times with the keys that may have made the signature, one after the other;
 * several only where an issuer uses a `kid` twice or its tokens name none.
 *
 * @returns the claims and the key that verified them
 * @throws GatewayError TOKEN_SIGNATURE_INVALID, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID, TOKEN_AUDIENCE_WRONG,
 *   TOKEN_CLAIM_INVALID or TOKEN_MALFORMED
 */
export async function verifyClaims(
  token: string,
  candidates: readonly VerificationKey[],
  { config, alg, now, clockSkewSeconds }: ClaimChecks,
): Promise<{ readonly payload: JWTPayload; readonly key: VerificationKey }> {
  let failure: unknown = new errors.JWSSignatureVerificationFailed();
  for (const key of candidates) {
    try {
      const { payload } = await jwtVerify(token, await key.forAlgorithm(alg), {
        algorithms: [alg],
        issuer: config.issuer,
        audience: [...config.audiences],
        clockTolerance: clockSkewSeconds,
        currentDate: new Date(now),
        requiredClaims: ["exp", "sub"],
      });
      checkIssuedAt(payload, now, clockSkewSeconds);
      return { payload, key };
    } catch (thrown) {
      failure = thrown;
      if (!(thrown instanceof errors.JWSSignatureVerificationFailed)) break;
    }
  }
  throw refusal(failure, config);
}
