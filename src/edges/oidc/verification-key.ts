import { constants, KeyObject, verify } from "node:crypto";
import { type CryptoKey, calculateJwkThumbprint, importJWK, type JWK } from "jose";

/** One public key of an issuer, for the algorithms that its type allows. */
export interface VerificationKey {
  /** RFC 7638 thumbprint: the same exactly when the key material is. */
  readonly id: string;
  readonly kid: string | undefined;
  /** Whether a signature of that algorithm may be checked with it. */
  fits(alg: string): boolean;
  /** Whether the signature is this key's; false for an algorithm that does not fit. Never throws. */
  verifies(alg: string, signed: Uint8Array, signature: Uint8Array): boolean;
}

const MIN_RSA_BITS = 2048;

/** RFC 7518: what a signature of that algorithm is, in the words of `crypto.verify`. */
interface Scheme {
  /** EdDSA has its own. */
  readonly digest: string | null;
  readonly padding?: number;
  /** Bytes; RFC 7518 wants it to be exactly the digest's length. */
  readonly saltLength?: number;
}

const pkcs1 = (bits: number): Scheme => ({ digest: `sha${bits}`, padding: constants.RSA_PKCS1_PADDING });
const pss = (bits: number): Scheme => ({
  digest: `sha${bits}`,
  padding: constants.RSA_PKCS1_PSS_PADDING,
  saltLength: bits / 8,
});

const rsaSchemes: ReadonlyMap<string, Scheme> = new Map([
  ["RS256", pkcs1(256)],
  ["RS384", pkcs1(384)],
  ["RS512", pkcs1(512)],
  ["PS256", pss(256)],
  ["PS384", pss(384)],
  ["PS512", pss(512)],
]);
const curveSchemes: ReadonlyMap<string, readonly [string, Scheme]> = new Map([
  ["P-256", ["ES256", { digest: "sha256" }]],
  ["P-384", ["ES384", { digest: "sha384" }]],
  ["P-521", ["ES512", { digest: "sha512" }]],
  ["Ed25519", ["EdDSA", { digest: null }]],
]);

/** The public members only, whatever else the issuer published by mistake, and the algorithms of that type of key. */
function publicPart(jwk: JWK): { readonly material: JWK; readonly schemes: ReadonlyMap<string, Scheme> } | undefined {
  const { kty, n, e, crv, x, y } = jwk;
  if (kty === "RSA" && typeof n === "string" && typeof e === "string") {
    return { material: { kty, n, e }, schemes: rsaSchemes };
  }
  const scheme = typeof crv === "string" ? curveSchemes.get(crv) : undefined;
  if (typeof crv !== "string" || typeof x !== "string" || scheme === undefined) return undefined;
  const schemes = new Map([scheme]);
  if (kty === "EC" && crv !== "Ed25519" && typeof y === "string") return { material: { kty, crv, x, y }, schemes };
  if (kty === "OKP" && crv === "Ed25519") return { material: { kty, crv, x }, schemes };
  return undefined;
}

/**
 * A key of a JWK set as a verification key, or undefined where it is not one: symmetric, too short, malformed, or meant
 * for something else by its `use`, `key_ops` or `alg`.
 */
export async function verificationKey(entry: unknown): Promise<VerificationKey | undefined> {
  if (typeof entry !== "object" || entry === null) return undefined;
  const jwk = entry as JWK;
  const part = publicPart(jwk);
  if (part === undefined) return undefined;
  if (jwk.use !== undefined && jwk.use !== "sig") return undefined;
  if (jwk.key_ops !== undefined && !(Array.isArray(jwk.key_ops) && jwk.key_ops.includes("verify"))) return undefined;
  const schemes = new Map([...part.schemes].filter(([alg]) => jwk.alg === undefined || jwk.alg === alg));
  const [first] = schemes.keys();
  if (first === undefined) return undefined;
  try {
    const imported = (await importJWK(part.material, first)) as CryptoKey;
    const { algorithm } = imported;
    if ("modulusLength" in algorithm && Number(algorithm.modulusLength) < MIN_RSA_BITS) return undefined;
    return {
      id: await calculateJwkThumbprint(part.material),
      kid: typeof jwk.kid === "string" ? jwk.kid : undefined,
      fits: (alg) => schemes.has(alg),
      verifies: checkWith(KeyObject.from(imported), schemes),
    };
  } catch {
    return undefined;
  }
}

/**
 * One call into OpenSSL on this thread. WebCrypto (and with it jose's `jwtVerify`) makes the same call in libuv's thread
 * pool, which costs as much again as an RS256 check itself, and a flood of bad tokens there would keep the audit's writes
 * waiting. Who bounds the time that checks may take from other calls is `turns.ts`.
 */
function checkWith(key: KeyObject, schemes: ReadonlyMap<string, Scheme>): VerificationKey["verifies"] {
  const ways = new Map(
    [...schemes].map(([alg, { digest, ...way }]) => {
      return [alg, { digest, options: { key, dsaEncoding: "ieee-p1363" as const, ...way } }];
    }),
  );
  return (alg, signed, signature) => {
    const way = ways.get(alg);
    if (way === undefined) return false;
    try {
      return verify(way.digest, signed, way.options, signature);
    } catch {
      return false;
    }
  };
}
