import { LRUCache } from "lru-cache";
import type { Principal } from "../../identity/principal.ts";
import type { Clock } from "../../kernel/clock.ts";

interface Entry {
  readonly principal: Principal;
  readonly keyId: string;
  /** ms since the epoch */
  readonly validUntil: number;
}

export interface TokenCacheOptions {
  /** 0 remembers nothing. */
  readonly maxEntries: number;
  readonly maxAgeSeconds: number;
  readonly clock: Clock;
  /** Whether that issuer still publishes that key. */
  readonly keyIsKnown: (principal: Principal, keyId: string) => boolean;
}

/** Verified tokens by their SHA-256. Refused ones never get in, so they cannot push others out. */
export interface TokenCache {
  /** The token's caller, unless it expired, is older than the cache allows, or its key is no longer the issuer's. */
  get(hash: string): Principal | undefined;
  put(hash: string, principal: Principal, keyId: string): void;
}

export function createTokenCache({ maxEntries, maxAgeSeconds, clock, keyIsKnown }: TokenCacheOptions): TokenCache {
  if (maxEntries === 0 || maxAgeSeconds === 0) return { get: () => undefined, put: () => undefined };
  const entries = new LRUCache<string, Entry>({ max: maxEntries });
  return {
    get(hash) {
      const entry = entries.get(hash);
      if (entry === undefined) return undefined;
      if (clock.now() < entry.validUntil && keyIsKnown(entry.principal, entry.keyId)) return entry.principal;
      entries.delete(hash);
      return undefined;
    },
    put(hash, principal, keyId) {
      const validUntil = Math.min(principal.expiresAt, clock.now() + maxAgeSeconds * 1000);
      if (validUntil > clock.now()) entries.set(hash, { principal, keyId, validUntil });
    },
  };
}
