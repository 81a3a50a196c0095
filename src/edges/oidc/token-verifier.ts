import { createHash } from "node:crypto";
import { principalOf } from "../../identity/claims.ts";
import { defaultAlgorithms, type IssuerConfig, issuerFaults } from "../../identity/issuer.ts";
import type { Principal } from "../../identity/principal.ts";
import type { TokenVerifier } from "../../identity/token-verifier.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GatewayError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/metrics.ts";
import { createIssuerKeys, type IssuerKeys, type KeyTimes } from "./issuer-keys.ts";
import { parseToken, type UnverifiedToken } from "./parse-token.ts";
import { createTokenCache } from "./token-cache.ts";
import type { VerificationKey } from "./verification-key.ts";
import { verifyClaims } from "./verify-claims.ts";

export interface TokenVerifierOptions {
  readonly issuers: readonly IssuerConfig[];
  /** Forgiven when `exp`, `nbf` and `iat` are checked. */
  readonly clockSkewSeconds: number;
  /** Larger tokens are refused unread. */
  readonly maxTokenBytes: number;
  /** Verified tokens that are remembered, and for how long at most; never past their `exp`. */
  readonly cache: { readonly maxEntries: number; readonly maxAgeSeconds: number };
  readonly jwks: KeyTimes;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
}

interface Issuer {
  readonly config: IssuerConfig;
  readonly keys: IssuerKeys;
}

/** A token's signature is tried with so many keys at most, where `kid` does not single one out. */
const MAX_CANDIDATES = 4;

/** SHA-256 in lower-case hex; its first 16 digits are the fingerprint in principals and audit records. */
function sha256(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** The first 16 hex digits of the token's SHA-256. */
export function tokenFingerprint(token: string): string {
  return sha256(token).slice(0, 16);
}

async function candidatesFor({ config, keys }: Issuer, token: UnverifiedToken): Promise<readonly VerificationKey[]> {
  const known = keys.find(token.alg, token.kid);
  if (known.length > 0) return known.slice(0, MAX_CANDIDATES);
  const { answered, retryAfterMs } = await keys.refresh();
  const found = keys.find(token.alg, token.kid);
  if (found.length > 0) return found.slice(0, MAX_CANDIDATES);
  if (!answered) {
    throw new GatewayError(
      "ISSUER_UNAVAILABLE",
      `the keys of issuer ${config.name} cannot be fetched and the token's key is not known; try again`,
      { retryAfterMs },
    );
  }
  throw new GatewayError(
    "TOKEN_KEY_UNKNOWN",
    `issuer ${config.name} publishes no key with the token's key id for its algorithm; get a new token`,
  );
}

/**
 * The verifier for those issuers. It begins to fetch their keys at once and keeps them fresh until it is closed.
 *
 * An issuer that is away: tokens of known keys verify until the keys are `maxStaleSeconds` old; others are refused with
 * ISSUER_UNAVAILABLE. A key that the issuer withdrew stops working at the next fetch, for remembered tokens too.
 *
 * @throws Error naming every fault where the issuers cannot be used
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier & { close(): void } {
  const faults = issuerFaults(options.issuers);
  if (faults.length > 0) throw new Error(faults.join("; "));
  const { clock, log, metrics, clockSkewSeconds, maxTokenBytes } = options;
  const issuers = new Map<string, Issuer>(
    options.issuers.map((config) => {
      const keys = createIssuerKeys({ ...options.jwks, issuer: config, clock, log, metrics });
      return [config.issuer, { config, keys }];
    }),
  );
  const cache = createTokenCache({
    ...options.cache,
    clock,
    keyIsKnown: (principal, keyId) => issuers.get(principal.issuer)?.keys.has(keyId) ?? false,
  });

  /** By the token's hash. A client's first calls come together: one signature check serves them all. */
  const underWay = new Map<string, Promise<Principal>>();

  async function verifyAnew(token: string, hash: string): Promise<Principal> {
    const unverified = parseToken(token);
    const issuer = issuers.get(unverified.iss);
    if (issuer === undefined) {
      throw new GatewayError("TOKEN_ISSUER_UNKNOWN", "the token's issuer (iss) is not one that this gateway accepts");
    }
    const { alg } = unverified;
    const { config } = issuer;
    if (!(config.algorithms ?? defaultAlgorithms).includes(alg)) {
      throw new GatewayError("TOKEN_ALGORITHM_REFUSED", `issuer ${config.name}'s tokens may not be signed with ${alg}`);
    }
    const candidates = await candidatesFor(issuer, unverified);
    const checks = { config, alg, now: clock.now(), clockSkewSeconds };
    const { payload, key } = await verifyClaims(token, candidates, checks);
    const principal = principalOf(payload, config, hash.slice(0, 16));
    cache.put(hash, principal, key.id);
    return principal;
  }

  return {
    async verify(token) {
      if (token.length > maxTokenBytes) {
        throw new GatewayError(
          "TOKEN_TOO_LARGE",
          `the token is larger than ${maxTokenBytes} bytes; request fewer claims`,
        );
      }
      const hash = sha256(token);
      const known = cache.get(hash);
      metrics.count("gatehouse_token_cache_total", { result: known === undefined ? "miss" : "hit" });
      if (known !== undefined) return known;
      const joined = underWay.get(hash) ?? verifyAnew(token, hash).finally(() => underWay.delete(hash));
      underWay.set(hash, joined);
      return await joined;
    },
    close() {
      for (const { keys } of issuers.values()) keys.close();
    },
  };
}
