import type { SessionKey } from "../sessions/session-key.ts";

/** 32 hex digits: 128 bits of the hash. */
const hashDigits = 32;

/**
 * The name of the resource that serves this key: `gh-` and 128 bits of SHA-256 over the length-prefixed parts, so that no
 * two keys share one and the same start twice meets itself. A DNS label.
 * @param hash SHA-256 of the text in lower-case hex
 */
export function driverName(key: SessionKey, hash: (text: string) => string): string {
  const parts = [key.cluster, key.namespace, key.app].map((part) => `${part.length}:${part}`);
  return `gh-${hash(parts.join("")).slice(0, hashDigits)}`;
}
