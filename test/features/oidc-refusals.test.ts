import { createHmac } from "node:crypto";
import { CompactEncrypt, type CryptoKey, exportSPKI, importJWK } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTokenVerifier } from "../../src/edges/oidc/token-verifier.ts";
import { ownerId } from "../../src/identity/principal.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";
import type { Reason } from "../../src/kernel/reasons.ts";
import { startJwksServer } from "../support/jwks-server.ts";
import { issuerOf, type OidcWorld, oidcWorld, refusalOf } from "../support/oidc-world.ts";
import { rawToken, signingKey, signToken } from "../support/tokens.ts";

let world: OidcWorld;
beforeAll(async () => {
  world = await oidcWorld({ issuer: { requiredClaims: {} } });
});
afterAll(() => world.close());

const seconds = (): number => Math.floor(world.clock.now() / 1000);

describe("a good token", () => {
  it("yields the caller that its claims name", async () => {
    const token = await signToken(world.key, world.claims());
    const principal = await world.verifier.verify(token);
    expect(principal).toEqual({
      issuer: world.server.url,
      issuerName: "dev",
      subject: "alice-sub",
      user: "alice",
      groups: ["engineers"],
      team: "data",
      tokenFingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
      expiresAt: (seconds() + 3600) * 1000,
    });
    expect(ownerId(principal)).toBe("alice-sub@dev");
  });

  it.each(["RS256", "PS256", "ES256"])("is accepted with %s by default", async (alg) => {
    const own = await oidcWorld({ alg });
    const token = await signToken(own.key, own.claims({ aud: ["other", "gatehouse"] }), { typ: "at+jwt" });
    await expect(own.verifier.verify(token)).resolves.toMatchObject({ user: "alice" });
    await own.close();
  });

  it("is accepted with EdDSA where the issuer is configured for it, else refused", async () => {
    const own = await oidcWorld({ alg: "EdDSA", issuer: { algorithms: ["EdDSA"] } });
    const token = await signToken(own.key, own.claims());
    await expect(own.verifier.verify(token)).resolves.toMatchObject({ user: "alice" });
    await own.close();
    const other = await oidcWorld({ alg: "EdDSA" });
    const refused = await signToken(other.key, other.claims());
    expect((await refusalOf(other.verifier, refused)).reason).toBe("TOKEN_ALGORITHM_REFUSED");
    await other.close();
  });

  it("is accepted within the clock skew on both sides and refused beyond it", async () => {
    const within = await signToken(world.key, world.claims({ exp: seconds() - 29, nbf: seconds() + 30 }));
    await expect(world.verifier.verify(within)).resolves.toMatchObject({ user: "alice" });
    const beyond = await signToken(world.key, world.claims({ exp: seconds() - 30 }));
    expect((await refusalOf(world.verifier, beyond)).reason).toBe("TOKEN_EXPIRED");
  });
});

describe("claims that are refused although the signature verifies", () => {
  const table: readonly [string, Reason, () => Record<string, unknown>][] = [
    ["wrong audience", "TOKEN_AUDIENCE_WRONG", () => ({ aud: "another-api" })],
    ["no audience", "TOKEN_AUDIENCE_WRONG", () => ({ aud: undefined })],
    ["audience list without ours", "TOKEN_AUDIENCE_WRONG", () => ({ aud: ["a", "b"] })],
    ["unknown issuer", "TOKEN_ISSUER_UNKNOWN", () => ({ iss: "https://evil.example" })],
    ["issuer with a slash more", "TOKEN_ISSUER_UNKNOWN", () => ({ iss: `${world.server.url}/` })],
    ["issuer list", "TOKEN_ISSUER_UNKNOWN", () => ({ iss: [world.server.url] })],
    ["no issuer", "TOKEN_ISSUER_UNKNOWN", () => ({ iss: undefined })],
    ["expired", "TOKEN_EXPIRED", () => ({ exp: seconds() - 3600 })],
    ["no exp", "TOKEN_CLAIM_INVALID", () => ({ exp: undefined })],
    ["exp as text", "TOKEN_CLAIM_INVALID", () => ({ exp: "tomorrow" })],
    ["exp beyond all time", "TOKEN_CLAIM_INVALID", () => ({ exp: 1e300 })],
    ["nbf in the future", "TOKEN_NOT_YET_VALID", () => ({ nbf: seconds() + 31 })],
    ["nbf as text", "TOKEN_CLAIM_INVALID", () => ({ nbf: "now" })],
    ["iat in the future", "TOKEN_NOT_YET_VALID", () => ({ iat: seconds() + 31 })],
    ["no sub", "TOKEN_CLAIM_INVALID", () => ({ sub: undefined })],
    ["empty sub", "TOKEN_CLAIM_INVALID", () => ({ sub: "" })],
    ["sub with a line break", "TOKEN_CLAIM_INVALID", () => ({ sub: "alice\nroot" })],
    ["sub too long", "TOKEN_CLAIM_INVALID", () => ({ sub: "a".repeat(256) })],
    ["no user name", "TOKEN_CLAIM_INVALID", () => ({ preferred_username: undefined })],
    ["too many groups", "TOKEN_CLAIM_INVALID", () => ({ realm_access: { roles: Array(257).fill("g") } })],
    ["a group that is no text", "TOKEN_CLAIM_INVALID", () => ({ realm_access: { roles: ["a", 1] } })],
    ["a team list", "TOKEN_CLAIM_INVALID", () => ({ team: ["data"] })],
  ];
  it.each(table)("%s: %s", async (_, reason, changes) => {
    const token = await signToken(world.key, world.claims(changes()));
    expect((await refusalOf(world.verifier, token)).reason).toBe(reason);
  });

  it("a required claim that is missing", async () => {
    const own = await oidcWorld({ issuer: { requiredClaims: { "realm_access.roles": "spark" } } });
    const without = await signToken(own.key, own.claims());
    expect((await refusalOf(own.verifier, without)).reason).toBe("TOKEN_CLAIM_INVALID");
    const with_ = await signToken(own.key, own.claims({ realm_access: { roles: ["spark"] } }));
    await expect(own.verifier.verify(with_)).resolves.toMatchObject({ groups: ["spark"] });
    await own.close();
  });
});

describe("forged and foreign tokens", () => {
  const refused = async (token: string): Promise<Reason> => (await refusalOf(world.verifier, token)).reason;

  it("alg none, in any spelling, with and without a signature", async () => {
    for (const alg of ["none", "None", "NONE", "nOnE", ""]) {
      expect(await refused(rawToken({ alg, typ: "JWT" }, world.claims()))).toBe("TOKEN_ALGORITHM_REFUSED");
      expect(await refused(rawToken({ alg, kid: "k1" }, world.claims(), "c2ln"))).toBe("TOKEN_ALGORITHM_REFUSED");
    }
  });

  it("HS256 with the public key as the secret", async () => {
    const pem = await exportSPKI((await importJWK(world.key.publicJwk, "ES256")) as CryptoKey);
    for (const secret of [pem, pem.trim(), JSON.stringify(world.key.publicJwk)]) {
      const unsigned = rawToken({ alg: "HS256", kid: "k1" }, world.claims());
      const mac = createHmac("sha256", secret).update(unsigned.slice(0, -1)).digest("base64url");
      expect(await refused(`${unsigned}${mac}`)).toBe("TOKEN_ALGORITHM_REFUSED");
    }
  });

  it("another key under a known kid, and claims changed after signing", async () => {
    const mallory = await signingKey("ES256", "k1");
    expect(await refused(await signToken(mallory, world.claims()))).toBe("TOKEN_SIGNATURE_INVALID");
    const [head, , signature] = (await signToken(world.key, world.claims())).split(".");
    const body = Buffer.from(JSON.stringify(world.claims({ sub: "bob" }))).toString("base64url");
    expect(await refused(`${head}.${body}.${signature}`)).toBe("TOKEN_SIGNATURE_INVALID");
  });

  it("keys that the token brings along are never used", async () => {
    const mallory = await signingKey("ES256", "mine");
    const evil = await startJwksServer([mallory.publicJwk]);
    const header = { kid: undefined, jwk: mallory.publicJwk, jku: evil.jwksUri, x5u: evil.jwksUri, x5c: ["AAAA"] };
    expect(await refused(await signToken(mallory, world.claims(), header))).toBe("TOKEN_SIGNATURE_INVALID");
    expect(evil.fetches).toEqual({ keys: 0, discovery: 0, redirected: 0 });
    await evil.close();
  });

  it("a key of the right id but another type of algorithm", async () => {
    const rsa = await signingKey("RS256", "k1");
    expect(await refused(await signToken(rsa, world.claims()))).toBe("TOKEN_KEY_UNKNOWN");
  });

  it("crit and b64, also when they are well signed", async () => {
    const head = (extra: object) => ({ alg: "ES256", kid: "k1", ...extra });
    for (const extra of [{ crit: ["exp"], exp: 1 }, { crit: [] }, { crit: ["b64"], b64: true }, { b64: false }]) {
      const refusal = await refusalOf(world.verifier, rawToken(head(extra), world.claims(), "c2ln"));
      expect(refusal).toMatchObject({ reason: "TOKEN_MALFORMED", message: expect.stringContaining("crit") });
    }
    const signed = await signToken(world.key, world.claims(), { crit: ["b64"], b64: true });
    expect(await refused(signed)).toBe("TOKEN_MALFORMED");
  });

  it("encrypted tokens, opaque tokens and rubbish", async () => {
    const jwe = await new CompactEncrypt(Buffer.from("{}"))
      .setProtectedHeader({ alg: "dir", enc: "A128GCM" })
      .encrypt(new Uint8Array(16));
    expect((await refusalOf(world.verifier, jwe)).message).toContain("encrypted");
    const good = await signToken(world.key, world.claims());
    const [head = "", body = "", signature = ""] = good.split(".");
    const rubbish = ["", ".", "..", "...", "....", "opaque-token", "a.b.c", `${good}.`, `.${good}`, ` ${good}`].concat(
      [`${head}..${signature}`, `${head}.${body}.`, `${head}.${body}.${signature}=`, `${head}.${body}.${signature}\n`],
      [`${head}.${body}.é`, `null.${body}.${signature}`, rawToken([], {}, "c2ln"), rawToken("x", {}, "c2ln")],
    );
    for (const token of rubbish) expect(await refused(token), token).toBe("TOKEN_MALFORMED");
  });

  it("tokens of another type", async () => {
    const table = ["logout+jwt", "secevent+jwt", "dpop+jwt", "JWE", 1];
    for (const typ of table) {
      expect(await refused(await signToken(world.key, world.claims(), { typ }))).toBe("TOKEN_MALFORMED");
    }
    const untyped = await signToken(world.key, world.claims({ jti: "untyped" }), { typ: undefined });
    await expect(world.verifier.verify(untyped)).resolves.toMatchObject({ user: "alice" });
  });

  it("an oversized token, before anything in it is read", async () => {
    const before = new Map(world.counted);
    expect(await refused("x".repeat(16_385))).toBe("TOKEN_TOO_LARGE");
    expect(await refused(await signToken(world.key, world.claims({ pad: "x".repeat(16_384) })))).toBe(
      "TOKEN_TOO_LARGE",
    );
    expect(world.counted).toEqual(before);
  });
});

describe("two issuers", () => {
  it("keep their users apart, and their keys even under one kid", async () => {
    const own = await oidcWorld();
    const second = await signingKey("ES256", "k1");
    const other = await startJwksServer([second.publicJwk]);
    const verifier = createTokenVerifier({
      issuers: [issuerOf(own.server), issuerOf(other, { name: "corp" })],
      clockSkewSeconds: 30,
      maxTokenBytes: 16_384,
      cache: { maxEntries: 100, maxAgeSeconds: 300 },
      jwks: { cacheMaxAgeSeconds: 600, cooldownSeconds: 30, timeoutMs: 5000, maxStaleSeconds: 86_400 },
      clock: own.clock,
      metrics: noMetrics,
      log: silentLog,
    });
    const first = await verifier.verify(await signToken(own.key, own.claims()));
    const twin = await verifier.verify(await signToken(second, own.claims({ iss: other.url })));
    expect([first.user, twin.user]).toEqual(["alice", "alice"]);
    expect([ownerId(first), ownerId(twin)]).toEqual(["alice-sub@dev", "alice-sub@corp"]);
    const crossed = await signToken(second, own.claims());
    expect((await refusalOf(verifier, crossed)).reason).toBe("TOKEN_SIGNATURE_INVALID");
    const reversed = await signToken(own.key, own.claims({ iss: other.url }));
    expect((await refusalOf(verifier, reversed)).reason).toBe("TOKEN_SIGNATURE_INVALID");
    verifier.close();
    await Promise.all([own.close(), other.close()]);
  });
});
