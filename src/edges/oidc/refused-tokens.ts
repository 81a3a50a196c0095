import { LRUCache } from "lru-cache";
import type { Clock } from "../../kernel/clock.ts";
import type { GatewayError } from "../../kernel/errors.ts";
import type { Reason } from "../../kernel/reasons.ts";

/** Refusals that cost a signature check and stay the same while the issuers' keys do. */
const LASTING: readonly Reason[] = [
  "TOKEN_SIGNATURE_INVALID",
  "TOKEN_EXPIRED",
  "TOKEN_AUDIENCE_WRONG",
  "TOKEN_CLAIM_INVALID",
];

const MAX_AGE_MS = 10_000;
const MAX_ENTRIES = 10_000;

interface RefusedTokensOptions {
  /** 0 remembers nothing. */
  readonly maxEntries: number;
  readonly maxAgeSeconds: number;
  readonly clock: Clock;
}

/**
 * Refused tokens by their SHA-256, for ten seconds: a client that goes on with a bad token costs less than one with a good
 * one. They are kept apart from the verified ones, so that however many they are, they push none of those out.
 */
export interface RefusedTokens {
  get(hash: string): GatewayError | undefined;
  /** Passes over refusals that may heal by themselves, and those that cost next to nothing. */
  put(hash: string, refusal: GatewayError): void;
  /** For when an issuer's keys were fetched: other signatures may verify now. */
  clear(): void;
}

interface Entry {
  readonly refusal: GatewayError;
  /** ms since the epoch */
  readonly validUntil: number;
}

export function createRefusedTokens({ maxEntries, maxAgeSeconds, clock }: RefusedTokensOptions): RefusedTokens {
  const max = Math.min(maxEntries, MAX_ENTRIES);
  const maxAgeMs = Math.min(maxAgeSeconds * 1000, MAX_AGE_MS);
  if (max === 0 || maxAgeMs === 0) return { get: () => undefined, put: () => undefined, clear: () => undefined };
  const entries = new LRUCache<string, Entry>({ max });
  return {
    get(hash) {
      const entry = entries.get(hash);
      if (entry === undefined) return undefined;
      if (clock.now() < entry.validUntil) return entry.refusal;
      entries.delete(hash);
      return undefined;
    },
    put(hash, refusal) {
      if (refusal.cause !== undefined || !LASTING.includes(refusal.reason)) return;
      entries.set(hash, { refusal, validUntil: clock.now() + maxAgeMs });
    },
    clear: () => entries.clear(),
  };
}
