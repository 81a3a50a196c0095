import { GatewayError } from "../kernel/errors.ts";
import type { Claims } from "./claims.ts";
import type { IssuerConfig } from "./issuer.ts";

export interface ClaimChecks {
  readonly config: Pick<IssuerConfig, "issuer" | "audiences">;
  /** ms since the epoch */
  readonly now: number;
  /** Forgiven when `exp`, `nbf` and `iat` are checked. */
  readonly clockSkewSeconds: number;
}

const invalid = (claim: string): GatewayError =>
  new GatewayError("TOKEN_CLAIM_INVALID", `the token's claim ${claim} is missing or malformed`);

/** A claim that, where it is there at all, is a time in seconds since 1970. */
function time(claims: Claims, name: string): number | undefined {
  const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (value !== undefined && typeof value !== "number") throw invalid(name);
  return value;
}

/** `aud` is one string or a list; the token is for us where one of ours is among them. */
function isForUs(claims: Claims, audiences: readonly string[]): boolean {
  const aud = Object.hasOwn(claims, "aud") ? claims["aud"] : undefined;
  if (typeof aud === "string") return audiences.includes(aud);
  return Array.isArray(aud) && audiences.some((each) => aud.includes(each));
}

/**
 * Issuer, audience and times. Only for claims whose signature was verified: the messages tell what is wrong with a token,
 * and nobody is to learn that who cannot sign one. Which of several faults is named is what jose's `jwtVerify` names.
 *
 * @throws GatewayError TOKEN_EXPIRED, TOKEN_NOT_YET_VALID, TOKEN_AUDIENCE_WRONG or TOKEN_CLAIM_INVALID
 */
export function checkClaims(claims: Claims, { config, now, clockSkewSeconds }: ClaimChecks): void {
  const audienceWrong = (): GatewayError =>
    new GatewayError(
      "TOKEN_AUDIENCE_WRONG",
      `the token is meant for another audience (aud); request one for ${config.audiences.join(" or ")}`,
    );
  if (!Object.hasOwn(claims, "iss")) throw invalid("iss");
  if (!Object.hasOwn(claims, "aud")) throw audienceWrong();
  if (!Object.hasOwn(claims, "sub")) throw invalid("sub");
  if (!Object.hasOwn(claims, "exp")) throw invalid("exp");
  if (claims["iss"] !== config.issuer) throw invalid("iss");
  if (!isForUs(claims, config.audiences)) throw audienceWrong();
  const seconds = Math.floor(now / 1000);
  const iat = time(claims, "iat");
  const nbf = time(claims, "nbf");
  if (nbf !== undefined && nbf > seconds + clockSkewSeconds) {
    throw new GatewayError("TOKEN_NOT_YET_VALID", "the token is not valid yet (nbf); check the clocks");
  }
  const exp = time(claims, "exp");
  if (exp === undefined) throw invalid("exp");
  if (exp <= seconds - clockSkewSeconds) {
    throw new GatewayError("TOKEN_EXPIRED", "the token has expired; get a new one and reconnect");
  }
  if (iat !== undefined && iat > seconds + clockSkewSeconds) {
    throw new GatewayError("TOKEN_NOT_YET_VALID", "the token was issued in the future (iat); check the clocks");
  }
}
