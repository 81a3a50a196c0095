import { type CryptoKey, calculateJwkThumbprint, importJWK, type JWK } from "jose";

/** One public key of an issuer, for the algorithms that its type allows. */
export interface VerificationKey {
  /** RFC 7638 thumbprint: the same exactly when the key material is. */
  readonly id: string;
  readonly kid: string | undefined;
  /** Whether a signature of that algorithm may be checked with it. */
  fits(alg: string): boolean;
  forAlgorithm(alg: string): Promise<CryptoKey>;
}

const MIN_RSA_BITS = 2048;

const ellipticAlgorithms: Readonly<Record<string, readonly string[]>> = {
  "P-256": ["ES256"],
  "P-384": ["ES384"],
  "P-521": ["ES512"],
  Ed25519: ["EdDSA"],
};
const rsaAlgorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/** The public members only, whatever else the issuer published by mistake, and the algorithms of that type of key. */
function publicPart(jwk: JWK): { readonly material: JWK; readonly algorithms: readonly string[] } | undefined {
  const { kty, n, e, crv, x, y } = jwk;
  if (kty === "RSA" && typeof n === "string" && typeof e === "string") {
    return { material: { kty, n, e }, algorithms: rsaAlgorithms };
  }
  if (typeof crv !== "string" || typeof x !== "string" || !Object.hasOwn(ellipticAlgorithms, crv)) return undefined;
  const algorithms = ellipticAlgorithms[crv] ?? [];
  if (kty === "EC" && crv !== "Ed25519" && typeof y === "string") return { material: { kty, crv, x, y }, algorithms };
  if (kty === "OKP" && crv === "Ed25519") return { material: { kty, crv, x }, algorithms };
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
  const algorithms = part.algorithms.filter((alg) => jwk.alg === undefined || jwk.alg === alg);
  const [first] = algorithms;
  if (first === undefined) return undefined;

  const imported = new Map<string, Promise<CryptoKey>>();
  const forAlgorithm = (alg: string): Promise<CryptoKey> => {
    const known = imported.get(alg) ?? (importJWK(part.material, alg) as Promise<CryptoKey>);
    imported.set(alg, known);
    return known;
  };
  try {
    const { algorithm } = await forAlgorithm(first);
    if ("modulusLength" in algorithm && Number(algorithm.modulusLength) < MIN_RSA_BITS) return undefined;
    const id = await calculateJwkThumbprint(part.material);
    return {
      id,
      kid: typeof jwk.kid === "string" ? jwk.kid : undefined,
      fits: (alg) => algorithms.includes(alg),
      forAlgorithm,
    };
  } catch {
    return undefined;
  }
}
