import { type CryptoKey, errors, type JWTHeaderParameters, jwtVerify } from "jose";
import type { Reason } from "../../src/kernel/reasons.ts";

export interface JoseChecks {
  readonly issuer: string;
  readonly audience: string;
  /** ms since the epoch */
  readonly now: number;
  readonly clockSkewSeconds: number;
  readonly algorithms: readonly string[];
  /** What the token of that header is checked with. */
  key(header: JWTHeaderParameters): Promise<CryptoKey>;
}

/** What jose's own `jwtVerify` says about a token, in our words: "accepted", or why not. */
export async function joseVerdict(token: string, checks: JoseChecks): Promise<"accepted" | Reason> {
  try {
    const { payload } = await jwtVerify(token, (header) => checks.key(header), {
      algorithms: [...checks.algorithms],
      issuer: checks.issuer,
      audience: checks.audience,
      clockTolerance: checks.clockSkewSeconds,
      currentDate: new Date(checks.now),
      requiredClaims: ["exp", "sub"],
    });
    const latest = Math.floor(checks.now / 1000) + checks.clockSkewSeconds;
    return payload.iat !== undefined && payload.iat > latest ? "TOKEN_NOT_YET_VALID" : "accepted";
  } catch (thrown) {
    return reasonFor(thrown);
  }
}

function reasonFor(thrown: unknown): Reason {
  if (thrown instanceof errors.JWTExpired) return "TOKEN_EXPIRED";
  if (thrown instanceof errors.JWSSignatureVerificationFailed) return "TOKEN_SIGNATURE_INVALID";
  if (thrown instanceof errors.JWTClaimValidationFailed) {
    if (thrown.claim === "aud") return "TOKEN_AUDIENCE_WRONG";
    return thrown.claim === "nbf" && thrown.reason === "check_failed" ? "TOKEN_NOT_YET_VALID" : "TOKEN_CLAIM_INVALID";
  }
  if (thrown instanceof errors.JOSEError) return "TOKEN_MALFORMED";
  throw thrown;
}
