import { createHmac } from "node:crypto";
import { exportSPKI, importJWK, type JWK } from "jose";
import type { ConfigTree } from "../../deploy/local/gatehouse-config.ts";
import { type JwksServer, startJwksServer } from "./jwks-server.ts";
import { rawToken, type SigningKey, signingKey, signToken } from "./tokens.ts";

/** Laid over the claims of a token that would be accepted; undefined leaves one out. */
export type Claims = Readonly<Record<string, unknown>>;

/** An issuer whose keys the test holds, so that it can make every token, the wrong ones too. */
export interface TestIssuer {
  readonly name: string;
  readonly url: string;
  readonly key: SigningKey;
  /** Of team analytics; `sub` and `preferred_username` are that name. */
  token(user: string, claims?: Claims, header?: Claims): Promise<string>;
  claims(user: string, more?: Claims): Claims;
  close(): Promise<void>;
}

export async function startTestIssuer(name: string): Promise<TestIssuer> {
  const key = await signingKey("RS256", `${name}-key`);
  const server: JwksServer = await startJwksServer([key.publicJwk]);
  const claims: TestIssuer["claims"] = (user, more) => {
    const now = Math.floor(Date.now() / 1000);
    const usual = { iss: server.url, aud: "gatehouse", sub: user, preferred_username: user, team: "analytics" };
    return { ...usual, iat: now, exp: now + 3600, ...more };
  };
  return {
    name,
    url: server.url,
    key,
    claims,
    token: (user, more, header) => signToken(key, claims(user, more), header),
    close: () => server.close(),
  };
}

/** The configuration that accepts their tokens; only the first one's groups administer. */
export function issuersConfig(...issuers: readonly TestIssuer[]): ConfigTree {
  return {
    identity: {
      issuers: issuers.map(({ name, url }) => ({ name, issuer: url, audiences: ["gatehouse"], algorithms: ["RS256"] })),
    },
    policy: { admins: { groups: ["gatehouse-admins"], issuers: [issuers[0]?.name] } },
  };
}

/** `alg: none`, with no signature. */
export const unsigned = (claims: Claims): string => rawToken({ alg: "none", typ: "JWT" }, claims);

/** Signed with HMAC and the public key as its secret: what a verifier that believes `alg` would accept. */
export async function signedWithPublicKey(publicJwk: JWK, claims: Claims): Promise<string> {
  const pem = await exportSPKI((await importJWK(publicJwk, "RS256")) as Parameters<typeof exportSPKI>[0]);
  const token = rawToken({ alg: "HS256", typ: "JWT", kid: publicJwk.kid }, claims);
  const signature = createHmac("sha256", pem).update(token.slice(0, -1)).digest("base64url");
  return `${token}${signature}`;
}
