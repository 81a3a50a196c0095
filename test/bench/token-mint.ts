import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import type { JWK } from "jose";
import type { ConfigTree } from "../../deploy/local/gatehouse-config.ts";
import { startJwksServer } from "../support/jwks-server.ts";

/** What the mint signs with; also the key's `kid`. */
export type MintedAlgorithm = "RS256" | "ES256";

/** An issuer on loopback whose private keys are here, so that tokens come by the ten thousand. */
export interface TokenMint {
  /** Gatehouse's configuration that trusts this issuer, as `local`, instead of the stack's own. */
  readonly config: ConfigTree;
  /** For the peers. */
  readonly issuer: { readonly issuer: string; readonly audience: string; readonly jwks: object };
  /** So many of alice's tokens, no two alike, good for two hours unless the claims say otherwise. */
  mint(algorithm: MintedAlgorithm, count: number, claims?: Readonly<Record<string, unknown>>): Promise<string[]>;
  close(): Promise<void>;
}

const audience = "gatehouse";
/** In libuv's pool, so that both cores sign. */
const signInPool = promisify(sign);
const atOnce = 64;

export async function startTokenMint(): Promise<TokenMint> {
  const pairs = {
    RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
    ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  };
  const keys = Object.entries(pairs).map(([alg, { publicKey }]) => publicJwk(publicKey, alg));
  const server = await startJwksServer(keys);
  const issuer = { name: "local", issuer: server.url, audiences: [audience], algorithms: Object.keys(pairs) };
  let minted = 0;
  return {
    config: { identity: { issuers: [issuer] } },
    issuer: { issuer: server.url, audience, jwks: { keys } },
    async mint(algorithm, count, claims = {}) {
      const tokens: string[] = [];
      while (tokens.length < count) {
        const batch = Array.from({ length: Math.min(atOnce, count - tokens.length) }, () => {
          minted += 1;
          const all = { ...aliceNow(), iss: server.url, jti: `token-${minted}`, ...claims };
          return signed(algorithm, pairs[algorithm].privateKey, all);
        });
        tokens.push(...(await Promise.all(batch)));
      }
      return tokens;
    },
    close: async () => await server.close(),
  };
}

const publicJwk = (key: KeyObject, alg: string): JWK => ({
  ...key.export({ format: "jwk" }),
  alg,
  kid: alg,
  use: "sig",
});

function aliceNow(): Readonly<Record<string, unknown>> {
  const iat = Math.floor(Date.now() / 1000);
  const exp = iat + 2 * 3600;
  const who = { sub: "alice", preferred_username: "alice", team: "analytics", groups: ["analysts"] };
  return { ...who, aud: audience, client_id: "alice", iat, exp };
}

async function signed(algorithm: MintedAlgorithm, key: KeyObject, claims: object): Promise<string> {
  const text = `${segment({ alg: algorithm, typ: "at+jwt", kid: algorithm })}.${segment(claims)}`;
  const signature = await signInPool("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}

const segment = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** The same token with another signature, as long and as well encoded, that nobody made. */
export function badlySigned(token: string): string {
  const at = token.length - 24;
  return `${token.slice(0, at)}${token[at] === "A" ? "B" : "A"}${token.slice(at + 1)}`;
}
