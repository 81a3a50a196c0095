import { createHmac, timingSafeEqual } from "node:crypto";

/**
 * A MAC over `parts`, each with its length before it so that no two lists of parts give the same bytes. `domain` keeps apart what
 * one key is used for: a MAC made for one purpose proves nothing for another.
 */
function macOf(key: Uint8Array, domain: string, parts: readonly (string | Uint8Array)[]): Buffer {
  const mac = createHmac("sha256", key);
  for (const part of [domain, ...parts]) {
    const bytes = typeof part === "string" ? Buffer.from(part, "utf8") : part;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.byteLength);
    mac.update(length).update(bytes);
  }
  return mac.digest();
}

/** @param keys at least one; the first signs. @returns base64url */
export function sign(keys: readonly Uint8Array[], domain: string, parts: readonly (string | Uint8Array)[]): string {
  const [first] = keys;
  if (first === undefined) throw new TypeError("there is no key to sign with");
  return macOf(first, domain, parts).toString("base64url");
}

/** Whether one of the keys made it. Takes as long for a wrong MAC as for a right one. */
export function verifies(
  keys: readonly Uint8Array[],
  domain: string,
  parts: readonly (string | Uint8Array)[],
  mac: string,
): boolean {
  // What base64url would forgive (padding, other alphabets, loose bits) is not forgiven: one MAC has one text.
  const claimed = Buffer.from(mac, "utf8");
  let found = false;
  for (const key of keys) {
    const right = Buffer.from(macOf(key, domain, parts).toString("base64url"), "utf8");
    if (right.byteLength === claimed.byteLength && timingSafeEqual(right, claimed)) found = true;
  }
  return found;
}

const DOMAIN = "gatehouse.dev/seal/v1";

/**
 * Proof that Gatehouse wrote these facts about the object of this UID. The UID is the API server's and never given twice, so
 * a seal that is copied to another object is worth nothing.
 * @param facts the annotation's text, byte for byte
 */
export function seal(keys: readonly Uint8Array[], uid: string, facts: string): string {
  return sign(keys, DOMAIN, [uid, facts]);
}

/** All keys verify, so that keys can be rotated. */
export function isSealed(keys: readonly Uint8Array[], uid: string, facts: string, sealText: string): boolean {
  return verifies(keys, DOMAIN, [uid, facts], sealText);
}
