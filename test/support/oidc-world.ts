import { vi } from "vitest";
import { createTokenVerifier, type TokenVerifierOptions } from "../../src/edges/oidc/token-verifier.ts";
import type { IssuerConfig } from "../../src/identity/issuer.ts";
import type { Principal } from "../../src/identity/principal.ts";
import type { TokenVerifier } from "../../src/identity/token-verifier.ts";
import { GatewayError } from "../../src/kernel/errors.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { type IssuerMode, type JwksServer, startJwksServer } from "./jwks-server.ts";
import { type SigningKey, signingKey } from "./tokens.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");

/** A verifier in front of one real issuer, under a clock that stands still. */
export interface OidcWorld {
  readonly clock: FakeClock;
  readonly server: JwksServer;
  readonly key: SigningKey;
  /** Whatever the verifier does at once comes as a promise here. */
  readonly verifier: { verify(token: string): Promise<Principal> };
  /** How often each metric's label value was counted, as "name value". */
  readonly counted: Map<string, number>;
  readonly logged: string[];
  /** alice's claims, valid for an hour. */
  claims(changes?: Readonly<Record<string, unknown>>): Record<string, unknown>;
  close(): Promise<void>;
}

interface OidcWorldOptions extends Partial<TokenVerifierOptions> {
  readonly issuer?: Partial<IssuerConfig>;
  /** Of the issuer's key. */
  readonly alg?: string;
  /** How the issuer answers from the start. */
  readonly mode?: IssuerMode;
}

/** No fetch runs into it while a test moves the clock on. */
const NO_TIMEOUT_MS = 1e9;

/** The verifier's entry for that issuer. */
export function issuerOf(server: JwksServer, changes: Partial<IssuerConfig> = {}): IssuerConfig {
  return {
    name: "dev",
    issuer: server.url,
    audiences: ["gatehouse"],
    claims: { user: "preferred_username", groups: "realm_access.roles", team: "team" },
    ...changes,
  };
}

/** Resolves once the verifier's first fetch of keys has ended, well or badly. */
export async function oidcWorld(options: OidcWorldOptions = {}): Promise<OidcWorld> {
  const { issuer, alg = "ES256", mode = "ok", ...rest } = options;
  const key = await signingKey(alg, "k1");
  const server = await startJwksServer([key.publicJwk]);
  server.answer(mode);
  const clock = createFakeClock(NOW);
  const counted = new Map<string, number>();
  const logged: string[] = [];
  const verifier = createTokenVerifier({
    issuers: [issuerOf(server, issuer)],
    clockSkewSeconds: 30,
    maxTokenBytes: 16_384,
    cache: { maxEntries: 100, maxAgeSeconds: 300 },
    jwks: { cacheMaxAgeSeconds: 600, cooldownSeconds: 30, timeoutMs: NO_TIMEOUT_MS, maxStaleSeconds: 86_400 },
    clock,
    metrics: {
      ...noMetrics,
      count: (name, labels) => {
        const id = `${name} ${Object.values(labels).join(",")}`;
        counted.set(id, (counted.get(id) ?? 0) + 1);
      },
    },
    log: { ...silentLog, warn: (message, fields) => void logged.push(`${message} ${JSON.stringify(fields)}`) },
    ...rest,
  });
  await vi.waitUntil(() => counted.size > 0, { timeout: 10_000, interval: 2 });
  return {
    clock,
    server,
    key,
    verifier: { verify: async (token) => await verifier.verify(token) },
    counted,
    logged,
    claims: (changes = {}) => {
      const seconds = Math.floor(clock.now() / 1000);
      return {
        iss: server.url,
        sub: "alice-sub",
        aud: "gatehouse",
        iat: seconds,
        exp: seconds + 3600,
        preferred_username: "alice",
        team: "data",
        realm_access: { roles: ["engineers"] },
        ...changes,
      };
    },
    close: async () => {
      verifier.close();
      await server.close();
    },
  };
}

/** The refusal of a token; fails where the token is accepted, and where the refusal repeats any part of the token. */
export async function refusalOf(verifier: TokenVerifier, token: string): Promise<GatewayError> {
  try {
    await verifier.verify(token);
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown;
    const parts = [...token.split("."), token].filter((part) => part.length > 8);
    if (parts.some((part) => JSON.stringify([thrown.message, thrown.fields]).includes(part))) {
      throw new Error("the refusal repeats the token", { cause: thrown });
    }
    return thrown;
  }
  throw new Error("the token was accepted");
}
