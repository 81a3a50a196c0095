import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTHeaderParameters, SignJWT } from "jose";

/** A key pair as an issuer has it: the private key to sign with, the public JWK to publish. */
export interface SigningKey {
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

export async function signingKey(alg: string, kid: string): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

/** Signs exactly those claims; `header` is laid over `{alg, kid, typ}`, and an undefined member leaves it out. */
export async function signToken(
  key: SigningKey,
  claims: Readonly<Record<string, unknown>>,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const merged = { alg: key.alg, kid: key.publicJwk.kid, typ: "JWT", ...header };
  const present = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined));
  return new SignJWT({ ...claims }).setProtectedHeader(present as unknown as JWTHeaderParameters).sign(key.privateKey);
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token of any shape: the header and claims as given, the signature as given (default: none). */
export function rawToken(header: unknown, claims: unknown, signature = ""): string {
  return `${encode(header)}.${encode(claims)}.${signature}`;
}
