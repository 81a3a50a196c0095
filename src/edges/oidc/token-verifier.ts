import { hash as digest } from "node:crypto";
import { checkClaims } from "../../identity/claim-checks.ts";
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
import { createRefusedTokens } from "./refused-tokens.ts";
import { createTokenCache } from "./token-cache.ts";
import { createTurns } from "./turns.ts";
import type { VerificationKey } from "./verification-key.ts";

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

/** The verifier with its means of naming a token. */
export interface OidcVerifier extends TokenVerifier {
  /** The first 16 hex digits of the token's SHA-256. A `verify` of the same token right after it hashes no second time. */
  fingerprint(token: string): string;
  close(): void;
}

interface Issuer {
  readonly config: IssuerConfig;
  readonly keys: IssuerKeys;
}

/** A token's signature is tried with so many keys at most, where `kid` does not single one out. */
const MAX_CANDIDATES = 4;

/**
 * What signature checks may take of one turn. One is 25 µs for RS256, 80 µs for ES256, about 0.6 ms for ES384 and 1.2 ms
 * for ES512, and a token without a `kid` may cost four: whoever floods the door with bad tokens takes its time, but a token
 * that is remembered waits at most this long and for one such token more.
 */
const CHECKS_MS_PER_TURN = 2;

/** SHA-256 in lower-case hex; its first 16 digits are the fingerprint in principals and audit records. */
const sha256 = (token: string): string => digest("sha256", token, "hex");

async function fetchedCandidates(
  { config, keys }: Issuer,
  token: UnverifiedToken,
): Promise<readonly VerificationKey[]> {
  const { answered, retryAfterMs } = await keys.refresh();
  const found = keys.find(token.alg, token.kid);
  if (found.length > 0) return found;
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

/** The key that made the signature, if any. Several may come in question where an issuer uses a `kid` twice or tokens name none. */
function signerOf(token: UnverifiedToken, candidates: readonly VerificationKey[]): VerificationKey | undefined {
  const signed = Buffer.from(token.signed, "latin1");
  const signature = Buffer.from(token.signature, "base64url");
  return candidates.slice(0, MAX_CANDIDATES).find((key) => key.verifies(token.alg, signed, signature));
}

/**
 * The verifier for those issuers. It begins to fetch their keys at once and keeps them fresh until it is closed.
 *
 * An issuer that is away: tokens of known keys verify until the keys are `maxStaleSeconds` old; others are refused with
 * ISSUER_UNAVAILABLE. A key that the issuer withdrew stops working at the next fetch, for remembered tokens too.
 *
 * @throws Error naming every fault where the issuers cannot be used
 */
export function createTokenVerifier(options: TokenVerifierOptions): OidcVerifier {
  const faults = issuerFaults(options.issuers);
  if (faults.length > 0) throw new Error(faults.join("; "));
  const { clock, log, metrics, maxTokenBytes } = options;
  const refused = createRefusedTokens({ ...options.cache, clock });
  const issuers = new Map<string, Issuer>(
    options.issuers.map((config) => {
      const onFetched = (): void => refused.clear();
      const keys = createIssuerKeys({ ...options.jwks, issuer: config, clock, log, metrics, onFetched });
      return [config.issuer, { config, keys }];
    }),
  );
  const cache = createTokenCache({
    ...options.cache,
    clock,
    keyIsKnown: (principal, keyId) => issuers.get(principal.issuer)?.keys.has(keyId) ?? false,
  });
  const verifyAnew = anew(options, issuers, (hash, outcome) => {
    if (outcome instanceof GatewayError) refused.put(hash, outcome);
    else cache.put(hash, outcome.principal, outcome.keyId);
  });

  /** By the token's hash. A client's first calls may come together: one look at the token serves them all. */
  const underWay = new Map<string, Promise<Principal>>();
  let fingerprinted: { readonly token: string; readonly hash: string } | undefined;

  function hashOf(token: string): string {
    const hash = fingerprinted?.token === token ? fingerprinted.hash : sha256(token);
    fingerprinted = undefined;
    return hash;
  }

  function wait(hash: string, verdict: Promise<Verdict>): Promise<Principal> {
    const joined = verdict.then(principalIn).finally(() => underWay.delete(hash));
    underWay.set(hash, joined);
    return joined;
  }

  return {
    fingerprint(token) {
      const hash = sha256(token);
      fingerprinted = { token, hash };
      return hash.slice(0, 16);
    },
    verify(token) {
      if (token.length > maxTokenBytes) throw tooLarge(maxTokenBytes);
      const hash = hashOf(token);
      const known = cache.get(hash);
      if (known !== undefined) {
        metrics.count("gatehouse_token_cache_total", HIT);
        return known;
      }
      const refusal = refused.get(hash);
      metrics.count("gatehouse_token_cache_total", refusal === undefined ? MISS : REFUSED);
      if (refusal !== undefined) throw refusal;
      const joined = underWay.get(hash);
      if (joined !== undefined) return joined;
      const verdict = verifyAnew(token, hash);
      return verdict instanceof Promise ? wait(hash, verdict) : principalIn(verdict);
    },
    close() {
      for (const { keys } of issuers.values()) keys.close();
    },
  };
}

const HIT = { result: "hit" };
const MISS = { result: "miss" };
const REFUSED = { result: "refused" };

const tooLarge = (maxTokenBytes: number): GatewayError =>
  new GatewayError("TOKEN_TOO_LARGE", `the token is larger than ${maxTokenBytes} bytes; request fewer claims`);

/** A refusal is handed on and thrown once: a bad token must cost less than a good one, and each throw costs a microsecond or two. */
type Verdict = Principal | GatewayError;

/** @throws the refusal */
function principalIn(verdict: Verdict): Principal {
  if (verdict instanceof GatewayError) throw verdict;
  return verdict;
}

const notSigned = (): GatewayError =>
  new GatewayError("TOKEN_SIGNATURE_INVALID", "the token's signature does not verify; get a new token");

type Outcome = GatewayError | { readonly principal: Principal; readonly keyId: string };

/**
 * Verifies tokens that are not remembered: what costs next to nothing first, then the signature, then the claims, whose
 * faults only those may learn who can sign. `onOutcome` gets whatever followed from the signature check.
 */
function anew(
  { clock, clockSkewSeconds }: Pick<TokenVerifierOptions, "clock" | "clockSkewSeconds">,
  issuers: ReadonlyMap<string, Issuer>,
  onOutcome: (hash: string, outcome: Outcome) => void,
): (token: string, hash: string) => Verdict | Promise<Verdict> {
  const ticks = (): number => performance.now();
  const turns = createTurns({ budgetMs: CHECKS_MS_PER_TURN, ticks, nextTurn: setImmediate });

  function refused(hash: string, refusal: GatewayError): GatewayError {
    onOutcome(hash, refusal);
    return refusal;
  }

  function proven(
    token: UnverifiedToken,
    config: IssuerConfig,
    candidates: readonly VerificationKey[],
    hash: string,
  ): Verdict {
    try {
      const key = signerOf(token, candidates);
      if (key === undefined) return refused(hash, notSigned());
      checkClaims(token.claims, { config, now: clock.now(), clockSkewSeconds });
      const principal = principalOf(token.claims, config, hash.slice(0, 16));
      onOutcome(hash, { principal, keyId: key.id });
      return principal;
    } catch (thrown) {
      return refused(hash, GatewayError.from(thrown));
    }
  }

  return (token, hash) => {
    const unverified = parseToken(token);
    const { alg, kid, iss } = unverified;
    const issuer = issuers.get(iss);
    if (issuer === undefined) {
      throw new GatewayError("TOKEN_ISSUER_UNKNOWN", "the token's issuer (iss) is not one that this gateway accepts");
    }
    const { config, keys } = issuer;
    if (!(config.algorithms ?? defaultAlgorithms).includes(alg)) {
      throw new GatewayError("TOKEN_ALGORITHM_REFUSED", `issuer ${config.name}'s tokens may not be signed with ${alg}`);
    }
    // Looked up again in its turn: keys that arrived meanwhile have cleared what was remembered of refusals.
    const check = (candidates: readonly VerificationKey[]) =>
      turns.run(() => {
        const current = keys.find(alg, kid);
        return proven(unverified, config, current.length > 0 ? current : candidates, hash);
      });
    const known = keys.find(alg, kid);
    return known.length > 0 ? check(known) : fetchedCandidates(issuer, unverified).then(check);
  };
}
