import { afterEach, describe, expect, it, vi } from "vitest";
import type { IssuerMode } from "../support/jwks-server.ts";
import { type OidcWorld, oidcWorld, refusalOf } from "../support/oidc-world.ts";
import { signingKey, signToken } from "../support/tokens.ts";

let world: OidcWorld | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

const start = async (options: Parameters<typeof oidcWorld>[0] = {}): Promise<OidcWorld> => {
  world = await oidcWorld(options);
  return world;
};

const until = (condition: () => boolean): Promise<unknown> => vi.waitUntil(condition, { timeout: 10_000, interval: 5 });
const jwks = { cacheMaxAgeSeconds: 600, cooldownSeconds: 30, timeoutMs: 1e9, maxStaleSeconds: 1200 };
const fetched = (w: OidcWorld, outcome: string): number =>
  w.counted.get(`gatehouse_jwks_fetches_total ${outcome}`) ?? 0;
const cached = (w: OidcWorld, result: string): number => w.counted.get(`gatehouse_token_cache_total ${result}`) ?? 0;

/** Moves the clock and waits until the fetch that this makes due has ended. */
async function pass(w: OidcWorld, ms: number, outcome = "ok"): Promise<void> {
  const before = fetched(w, outcome);
  await w.clock.advance(ms);
  await until(() => fetched(w, outcome) > before);
}

describe("fetching keys", () => {
  it("200 tokens of unknown keys cause at most one fetch more", async () => {
    const w = await start();
    const mallory = await signingKey("ES256", "x");
    const tokens = await Promise.all(
      Array.from({ length: 200 }, (_, i) => signToken(mallory, w.claims(), { kid: `unknown-${i}` })),
    );
    await w.clock.advance(31_000);
    const refusals = await Promise.all(tokens.map((token) => refusalOf(w.verifier, token)));
    expect(new Set(refusals.map((refusal) => refusal.reason))).toEqual(new Set(["TOKEN_KEY_UNKNOWN"]));
    expect(w.server.fetches.keys).toBe(2);
  });

  it("200 tokens while the issuer is down: no flood either, and another reason", async () => {
    const w = await start();
    w.server.answer("error");
    await w.clock.advance(31_000);
    const mallory = await signingKey("ES256", "x");
    const before = w.server.fetches.discovery;
    for (let i = 0; i < 200; i += 1) {
      const refusal = await refusalOf(w.verifier, await signToken(mallory, w.claims(), { kid: `unknown-${i}` }));
      expect(refusal.reason).toBe("ISSUER_UNAVAILABLE");
      expect(refusal.retryAfterMs).toBeGreaterThan(0);
    }
    expect(w.server.fetches.discovery - before).toBeLessThanOrEqual(2);
  });

  it("a key that is published later is found by its first token, after the cooldown", async () => {
    const w = await start();
    const next = await signingKey("ES256", "k2");
    const token = await signToken(next, w.claims());
    expect((await refusalOf(w.verifier, token)).reason).toBe("TOKEN_KEY_UNKNOWN");
    w.server.publish([w.key.publicJwk, next.publicJwk]);
    expect((await refusalOf(w.verifier, token)).reason).toBe("TOKEN_KEY_UNKNOWN");
    await w.clock.advance(30_000);
    await expect(w.verifier.verify(token)).resolves.toMatchObject({ user: "alice" });
  });

  it("keys are read from jwksUri without discovery where it is configured", async () => {
    const w = await start();
    const direct = await oidcWorld({ issuer: { issuer: "https://issuer.example", jwksUri: w.server.jwksUri } });
    const token = await signToken(w.key, w.claims({ iss: "https://issuer.example" }));
    await expect(direct.verifier.verify(token)).resolves.toMatchObject({ issuer: "https://issuer.example" });
    await direct.close();
  });

  const broken: readonly [IssuerMode, string][] = [
    ["error", "status 503"],
    ["redirect", "status 302"],
    ["huge", "larger than"],
    ["text", "not JSON"],
    ["wrong-issuer", "not exactly the configured one"],
    ["other-host", "must be https"],
  ];
  it.each(broken)("an issuer that answers with %s makes its tokens wait, not pass", async (mode, cause) => {
    const w = await start();
    w.server.answer(mode);
    const unknown = await signToken(await signingKey("ES256", "k2"), w.claims());
    await w.clock.advance(31_000);
    expect((await refusalOf(w.verifier, unknown)).reason).toBe("ISSUER_UNAVAILABLE");
    expect(w.logged.join()).toContain(cause);
    expect(w.server.fetches.redirected).toBe(0);
    w.server.answer("ok");
    await pass(w, 1000);
    expect((await refusalOf(w.verifier, unknown)).reason).toBe("TOKEN_KEY_UNKNOWN");
  });

  it("an issuer that never answers is given up at the time limit", async () => {
    const w = await start({ jwks: { ...jwks, timeoutMs: 5000 } });
    w.server.answer("hang");
    await w.clock.advance(31_000);
    const discovery = w.server.fetches.discovery;
    const refusal = refusalOf(w.verifier, await signToken(await signingKey("ES256", "k2"), w.claims()));
    await until(() => w.server.fetches.discovery > discovery);
    await expect(w.verifier.verify(await signToken(w.key, w.claims()))).resolves.toMatchObject({ user: "alice" });
    await w.clock.advance(5000);
    expect((await refusal).reason).toBe("ISSUER_UNAVAILABLE");
    expect(fetched(w, "timeout")).toBe(1);
  });
});

describe("an issuer that is away", () => {
  it("known keys keep working until they are too stale, then nothing does, until it is back", async () => {
    const w = await start({ jwks });
    const token = await signToken(w.key, w.claims());
    await w.verifier.verify(token);
    w.server.answer("error");
    await pass(w, 600_000, "error");
    await expect(w.verifier.verify(token)).resolves.toMatchObject({ user: "alice" });
    await w.clock.advance(599_000);
    await expect(w.verifier.verify(await signToken(w.key, w.claims()))).resolves.toMatchObject({ user: "alice" });
    await w.clock.advance(2000);
    expect((await refusalOf(w.verifier, token)).reason).toBe("ISSUER_UNAVAILABLE");
    w.server.answer("ok");
    await pass(w, 30_000);
    await expect(w.verifier.verify(token)).resolves.toMatchObject({ user: "alice" });
  });

  it("an issuer that was down from the start is found without anybody's help", async () => {
    const w = await start({ mode: "error" });
    expect((await refusalOf(w.verifier, await signToken(w.key, w.claims()))).reason).toBe("ISSUER_UNAVAILABLE");
    w.server.answer("ok");
    await pass(w, 1000);
    await expect(w.verifier.verify(await signToken(w.key, w.claims()))).resolves.toMatchObject({ user: "alice" });
  });
});

describe("the cache of verified tokens", () => {
  it("answers the second time, until exp, and never past the cache's own age", async () => {
    const w = await start();
    const token = await signToken(w.key, w.claims({ exp: Math.floor(w.clock.now() / 1000) + 100 }));
    await w.verifier.verify(token);
    await w.clock.advance(99_000);
    await w.verifier.verify(token);
    expect([cached(w, "miss"), cached(w, "hit")]).toEqual([1, 1]);
    await w.clock.advance(1000);
    await w.verifier.verify(token);
    expect([cached(w, "miss"), cached(w, "hit")]).toEqual([2, 1]);
    await w.clock.advance(30_000);
    expect((await refusalOf(w.verifier, token)).reason).toBe("TOKEN_EXPIRED");

    const long = await signToken(w.key, w.claims());
    await w.verifier.verify(long);
    await w.clock.advance(300_000);
    await w.verifier.verify(long);
    expect([cached(w, "miss"), cached(w, "hit")]).toEqual([5, 1]);
  });

  it("calls that come together share one check, and one refusal", async () => {
    const w = await start();
    const next = await signingKey("ES256", "k2");
    w.server.publish([next.publicJwk]);
    const good = await signToken(next, w.claims());
    const bad = await signToken(next, w.claims({ aud: "other" }));
    await w.clock.advance(31_000);
    // All of them wait for the fetch that the first one causes.
    const [principals, refusals] = await Promise.all([
      Promise.all(Array.from({ length: 8 }, () => w.verifier.verify(good))),
      Promise.all(Array.from({ length: 8 }, () => refusalOf(w.verifier, bad))),
    ]);
    expect(new Set(principals).size).toBe(1);
    expect(refusals.map(({ reason }) => reason)).toEqual(Array(8).fill("TOKEN_AUDIENCE_WRONG"));
    expect(new Set(refusals).size).toBe(1);
    expect(w.server.fetches.keys).toBe(2);
  });

  it("drops the tokens of a key that the issuer withdrew, at the next fetch", async () => {
    const w = await start({ cache: { maxEntries: 100, maxAgeSeconds: 3600 } });
    const token = await signToken(w.key, w.claims());
    await w.verifier.verify(token);
    const next = await signingKey("ES256", "k1");
    w.server.publish([next.publicJwk]);
    await expect(w.verifier.verify(token)).resolves.toMatchObject({ user: "alice" });
    await pass(w, 600_000);
    expect((await refusalOf(w.verifier, token)).reason).toBe("TOKEN_SIGNATURE_INVALID");
    await expect(w.verifier.verify(await signToken(next, w.claims()))).resolves.toMatchObject({ user: "alice" });
  });

  it("a flood of good tokens stays bounded", async () => {
    const w = await start({ cache: { maxEntries: 2, maxAgeSeconds: 300 } });
    const good = await signToken(w.key, w.claims());
    for (let i = 0; i < 3; i += 1) await w.verifier.verify(await signToken(w.key, w.claims({ jti: `${i}` })));
    await w.verifier.verify(good);
    for (let i = 0; i < 2; i += 1) await w.verifier.verify(await signToken(w.key, w.claims({ jti: `more ${i}` })));
    await w.verifier.verify(good);
    expect([cached(w, "hit"), cached(w, "miss")]).toEqual([0, 7]);
  });
});

describe("what an issuer publishes", () => {
  it("keys that are not for verifying are passed over, the others work", async () => {
    const w = await start();
    const { publicJwk } = w.key;
    const rubbish = [null, 1, {}, { kty: "oct", k: "AAAA", kid: "k1" }, { ...publicJwk, x: "?" }, { kty: "RSA" }];
    const unfit = [
      { ...publicJwk, use: "enc" },
      { ...publicJwk, alg: "ES384" },
      { ...publicJwk, key_ops: ["sign"] },
    ];
    w.server.publish([...rubbish, ...unfit]);
    await pass(w, 600_000);
    const token = await signToken(w.key, w.claims());
    expect((await refusalOf(w.verifier, token)).reason).toBe("TOKEN_KEY_UNKNOWN");
    w.server.publish([...rubbish, ...unfit, publicJwk]);
    await w.clock.advance(31_000);
    await expect(w.verifier.verify(token)).resolves.toMatchObject({ user: "alice" });
  });

  it("one kid on two keys, and tokens without a kid: the key that fits is found", async () => {
    const w = await start();
    const twin = await signingKey("ES256", "k1");
    const { kid: _, ...nameless } = (await signingKey("ES256", "k3")).publicJwk;
    w.server.publish([twin.publicJwk, nameless, w.key.publicJwk]);
    await pass(w, 600_000);
    for (const key of [w.key, twin]) {
      await expect(w.verifier.verify(await signToken(key, w.claims()))).resolves.toMatchObject({ user: "alice" });
      const bare = await signToken(key, w.claims(), { kid: undefined });
      await expect(w.verifier.verify(bare)).resolves.toMatchObject({ user: "alice" });
    }
  });
});
