import { sign, verifies } from "./seal.ts";

/**
 * How replicas know each other: a MAC with the seal key, on the request and on its answer. A request that is recorded and
 * sent again within its half minute does no harm: a start is idempotent, and only the leader carries it out.
 */

export const startPath = "/v1/start";
/** How far the clocks of two replicas may differ, the way included. ms */
const MAX_AGE_MS = 30_000;
const requestDomain = "gatehouse.dev/peer-request/v1";
const answerDomain = "gatehouse.dev/peer-answer/v1";

export interface SignedRequest {
  readonly timestamp: string;
  readonly nonce: string;
  readonly body: Uint8Array;
}

const partsOf = ({ timestamp, nonce, body }: SignedRequest) => ["POST", startPath, timestamp, nonce, body];

export function signRequest(keys: readonly Uint8Array[], request: SignedRequest): string {
  return sign(keys, requestDomain, partsOf(request));
}

export function isGenuine(keys: readonly Uint8Array[], request: SignedRequest, mac: string, nowMs: number): boolean {
  if (!/^\d{1,15}$/.test(request.timestamp)) return false;
  if (Math.abs(nowMs - Number(request.timestamp)) > MAX_AGE_MS) return false;
  return verifies(keys, requestDomain, partsOf(request), mac);
}

/** Bound to the request by its nonce: an old answer cannot be given to another question. */
export function signAnswer(keys: readonly Uint8Array[], nonce: string, body: Uint8Array): string {
  return sign(keys, answerDomain, [nonce, body]);
}

export function isGenuineAnswer(keys: readonly Uint8Array[], nonce: string, body: Uint8Array, mac: string): boolean {
  return verifies(keys, answerDomain, [nonce, body], mac);
}
