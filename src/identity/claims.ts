import { GatewayError } from "../kernel/errors.ts";
import type { ClaimPath, IssuerConfig } from "./issuer.ts";
import type { Principal } from "./principal.ts";

/** A JWT's claims set as parsed JSON. */
export type Claims = Readonly<Record<string, unknown>>;

const MAX_GROUPS = 256;
const MAX_TEXT = 256;
const MAX_SUBJECT = 255;

/** OpenID Connect wants ASCII; a space at either end would be invisible where identities are compared by people. */
const SUBJECT = /^[!-~](?:[ -~]*[!-~])?$/;
/** No control, format, surrogate, private-use or unassigned characters and no line breaks. */
const PRINTABLE = /^[^\p{C}\p{Zl}\p{Zp}]+$/u;

const refuse = (what: string): GatewayError => new GatewayError("TOKEN_CLAIM_INVALID", `the token's ${what}`);
const label = (path: ClaimPath): string => (typeof path === "string" ? path : path.join("."));
const printable = (value: unknown): value is string =>
  typeof value === "string" && value.length <= MAX_TEXT && PRINTABLE.test(value);

/** The value at a path, undefined where any step is missing. Only own members of JSON objects count. */
export function claimAt(claims: Claims, path: ClaimPath): unknown {
  const steps = typeof path === "string" ? path.split(".") : path;
  let value: unknown = claims;
  for (const step of steps) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, step)) {
      return undefined;
    }
    value = (value as Claims)[step];
  }
  return value ?? undefined;
}

function groupsOf(claims: Claims, path: ClaimPath | undefined): readonly string[] {
  const value = path === undefined ? undefined : claimAt(claims, path);
  if (path === undefined || value === undefined) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > MAX_GROUPS) {
    throw refuse(`claim ${label(path)} holds more than ${MAX_GROUPS} groups; have the issuer send only those needed`);
  }
  if (!list.every(printable)) {
    throw refuse(`claim ${label(path)} must be printable group names of at most ${MAX_TEXT} characters`);
  }
  return [...new Set(list)];
}

function teamOf(claims: Claims, path: ClaimPath | undefined): string | undefined {
  const value = path === undefined ? undefined : claimAt(claims, path);
  if (path === undefined || value === undefined) return undefined;
  if (!printable(value)) throw refuse(`claim ${label(path)} must be one team's name as a printable string`);
  return value;
}

function userOf(claims: Claims, path: ClaimPath): string {
  const value = claimAt(claims, path);
  if (value === undefined) throw refuse(`claim ${label(path)}, the user's name, is missing; have the issuer add it`);
  if (!printable(value)) throw refuse(`claim ${label(path)}, the user's name, must be a printable string`);
  return value;
}

function checkRequired(claims: Claims, required: Readonly<Record<string, string>>): void {
  for (const [path, wanted] of Object.entries(required)) {
    const value = claimAt(claims, path);
    const holds = Array.isArray(value) ? value.includes(wanted) : value === wanted;
    if (!holds) throw refuse(`claim ${path} does not have the value that this gateway requires`);
  }
}

/**
 * The caller that a token's claims stand for. The claims must be verified: signature, issuer, audience and times are not
 * looked at here. A missing group or team claim is no group, no team; one of the wrong form is refused, never repaired.
 *
 * @throws GatewayError TOKEN_CLAIM_INVALID, which names the claim and never repeats its value
 */
export function principalOf(claims: Claims, config: IssuerConfig, tokenFingerprint: string): Principal {
  const subject = claims["sub"];
  if (typeof subject !== "string" || subject.length > MAX_SUBJECT || !SUBJECT.test(subject)) {
    throw refuse(`claim sub must be 1 to ${MAX_SUBJECT} printable ASCII characters without spaces at its ends`);
  }
  const exp = claims["exp"];
  if (typeof exp !== "number" || !Number.isSafeInteger(Math.ceil(exp * 1000))) {
    throw refuse("claim exp must be a time in seconds since 1970; have the issuer set one");
  }
  checkRequired(claims, config.requiredClaims ?? {});
  return Object.freeze({
    issuer: config.issuer,
    issuerName: config.name,
    subject,
    user: userOf(claims, config.claims.user),
    groups: Object.freeze(groupsOf(claims, config.claims.groups)),
    team: teamOf(claims, config.claims.team),
    tokenFingerprint,
    expiresAt: Math.floor(exp * 1000),
  });
}
