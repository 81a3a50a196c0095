import type { Claims } from "../../identity/claims.ts";
import { supportedAlgorithms } from "../../identity/issuer.ts";
import { GatewayError } from "../../kernel/errors.ts";

/** What a token says about itself, before any of it is verified: only good for choosing the key to verify it with. */
export interface UnverifiedToken {
  readonly alg: string;
  readonly kid: string | undefined;
  readonly iss: string;
  /** Worth nothing until the signature was verified. */
  readonly claims: Claims;
  /** What the signature is over: header and payload as they were sent. */
  readonly signed: string;
  /** In base64url. */
  readonly signature: string;
}

const SEGMENT = /^[A-Za-z0-9_-]+$/;
const TYPES = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];
const MAX_KID = 256;

const utf8 = new TextDecoder("utf-8", { fatal: true });

const malformed = (what: string): GatewayError => new GatewayError("TOKEN_MALFORMED", what);

/** One character over a multiple of four is no whole byte: Node would drop it silently. */
const isBase64url = (segment: string): boolean => segment.length % 4 !== 1 && SEGMENT.test(segment);

function jsonObject(segment: string, name: string): Readonly<Record<string, unknown>> {
  const json = isBase64url(segment) ? parsed(segment) : undefined;
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw malformed(`the token's ${name} is not JSON in base64url; send the token exactly as issued`);
  }
  return json as Readonly<Record<string, unknown>>;
}

function parsed(segment: string): unknown {
  try {
    return JSON.parse(utf8.decode(Buffer.from(segment, "base64url")));
  } catch {
    return undefined;
  }
}

/** @throws GatewayError TOKEN_MALFORMED or TOKEN_ALGORITHM_REFUSED */
function checkedHeader(segment: string): Pick<UnverifiedToken, "alg" | "kid"> {
  const header = jsonObject(segment, "header");
  const { alg, kid, typ } = header;
  if ("crit" in header || "b64" in header) {
    throw malformed("the token demands extensions (crit) that are not supported; have the issuer leave them out");
  }
  if ("zip" in header || "enc" in header) throw malformed("the token is not a plain signed JWT");
  if (typ !== undefined && !(typeof typ === "string" && TYPES.includes(typ.toLowerCase()))) {
    throw malformed("the token's type (typ) is not JWT or at+jwt; send an access token or ID token");
  }
  if (typeof alg !== "string" || !supportedAlgorithms.includes(alg)) {
    throw new GatewayError(
      "TOKEN_ALGORITHM_REFUSED",
      "the token's algorithm (alg) is none, symmetric or not supported; have the issuer sign with RS256 or ES256",
    );
  }
  if (kid !== undefined && !(typeof kid === "string" && kid.length <= MAX_KID)) {
    throw malformed(`the token's key id (kid) must be a string of at most ${MAX_KID} characters`);
  }
  return { alg, kid };
}

/**
 * Splits a compact JWS and refuses what no configuration could accept: encrypted tokens, `crit`, `b64`, other types than
 * a JWT, symmetric algorithms and `none`. Keys or addresses in the header (jwk, jku, x5c, x5u) are not looked at.
 *
 * @throws GatewayError TOKEN_MALFORMED, TOKEN_ALGORITHM_REFUSED or TOKEN_ISSUER_UNKNOWN
 */
export function parseToken(token: string): UnverifiedToken {
  const segments = token.split(".", 6);
  if (segments.length === 5) throw malformed("the token is encrypted (JWE); have the issuer send signed JWTs (JWS)");
  const [head, body, signature] = segments;
  if (segments.length !== 3 || head === undefined || body === undefined || signature === undefined) {
    throw malformed("the token is not a signed JWT; send an access token in JWT form, not an opaque one");
  }
  const { alg, kid } = checkedHeader(head);
  if (!isBase64url(signature)) throw malformed("the token's signature is missing or not base64url");
  const claims = jsonObject(body, "payload");
  const iss = Object.hasOwn(claims, "iss") ? claims["iss"] : undefined;
  if (typeof iss !== "string") throw new GatewayError("TOKEN_ISSUER_UNKNOWN", "the token names no issuer (iss)");
  return { alg, kid, iss, claims, signed: token.slice(0, head.length + 1 + body.length), signature };
}
