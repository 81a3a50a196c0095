import { afterEach, describe, expect, it, vi } from "vitest";
import { type OidcWorld, oidcWorld, refusalOf } from "../support/oidc-world.ts";
import { rawToken, signingKey, signToken } from "../support/tokens.ts";

let world: OidcWorld | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

const start = async (options: Parameters<typeof oidcWorld>[0] = {}): Promise<OidcWorld> => {
  world = await oidcWorld(options);
  return world;
};

const looks = (w: OidcWorld, result: string): number => w.counted.get(`gatehouse_token_cache_total ${result}`) ?? 0;

/** Moves the clock to the next fetch of keys and waits until it has ended. */
async function fetchAgain(w: OidcWorld): Promise<void> {
  const before = w.counted.get("gatehouse_jwks_fetches_total ok");
  await w.clock.advance(600_000);
  await vi.waitUntil(() => w.counted.get("gatehouse_jwks_fetches_total ok") !== before, { timeout: 10_000 });
}

describe("bad tokens", () => {
  it("push no good one out, of whatever kind and however many they are", async () => {
    const w = await start({ cache: { maxEntries: 20, maxAgeSeconds: 300 } });
    const good = await Promise.all(Array.from({ length: 20 }, (_, i) => signToken(w.key, w.claims({ jti: `${i}` }))));
    for (const token of good) await w.verifier.verify(token);
    const mallory = await signingKey("ES256", "k1");
    for (let i = 0; i < 100; i += 1) {
      const claims = { ...w.claims(), jti: `bad ${i}` };
      const bad = [
        await signToken(mallory, claims),
        await signToken(w.key, { ...claims, exp: 1 }),
        await signToken(w.key, { ...claims, aud: "other" }),
        await signToken(w.key, claims, { kid: `unknown ${i}` }),
        rawToken({ alg: "none" }, claims),
        `rubbish-${i}`,
      ];
      for (const token of bad) await refusalOf(w.verifier, token);
    }
    expect([looks(w, "hit"), looks(w, "miss")]).toEqual([0, 20 + 600]);
    for (const token of good) await w.verifier.verify(token);
    expect([looks(w, "hit"), looks(w, "miss")]).toEqual([20, 20 + 600]);
  });

  it("are remembered for ten seconds where their signature had to be checked", async () => {
    const w = await start();
    const mallory = await signingKey("ES256", "k1");
    const bad = {
      TOKEN_SIGNATURE_INVALID: await signToken(mallory, w.claims()),
      TOKEN_EXPIRED: await signToken(w.key, w.claims({ exp: 1 })),
      TOKEN_AUDIENCE_WRONG: await signToken(w.key, w.claims({ aud: "other" })),
      TOKEN_CLAIM_INVALID: await signToken(w.key, w.claims({ sub: "" })),
    };
    for (const [reason, token] of Object.entries(bad)) {
      const first = await refusalOf(w.verifier, token);
      expect(first.reason).toBe(reason);
      await w.clock.advance(9_999);
      expect(await refusalOf(w.verifier, token)).toBe(first);
      await w.clock.advance(1);
      const second = await refusalOf(w.verifier, token);
      expect(second).not.toBe(first);
      expect(second.reason).toBe(reason);
    }
    expect([looks(w, "refused"), looks(w, "miss")]).toEqual([4, 8]);
  });

  it("are not remembered where time may heal them", async () => {
    const w = await start();
    const seconds = Math.floor(w.clock.now() / 1000);
    const early = await signToken(w.key, w.claims({ nbf: seconds + 31 }));
    const future = await signToken(w.key, w.claims({ iat: seconds + 31 }));
    const unknown = await signToken(w.key, w.claims(), { kid: "k2" });
    expect((await refusalOf(w.verifier, early)).reason).toBe("TOKEN_NOT_YET_VALID");
    expect((await refusalOf(w.verifier, future)).reason).toBe("TOKEN_NOT_YET_VALID");
    expect((await refusalOf(w.verifier, unknown)).reason).toBe("TOKEN_KEY_UNKNOWN");
    await w.clock.advance(1000);
    await expect(w.verifier.verify(early)).resolves.toMatchObject({ user: "alice" });
    await expect(w.verifier.verify(future)).resolves.toMatchObject({ user: "alice" });
    expect((await refusalOf(w.verifier, unknown)).reason).toBe("TOKEN_KEY_UNKNOWN");
    expect(looks(w, "refused")).toBe(0);
  });

  it("of a key that the issuer publishes a moment later are good at once", async () => {
    const w = await start({
      jwks: { cacheMaxAgeSeconds: 600, cooldownSeconds: 1, timeoutMs: 1e9, maxStaleSeconds: 1e6 },
    });
    const twin = await signingKey("ES256", "k1");
    const token = await signToken(twin, w.claims());
    await w.clock.advance(595_000);
    expect((await refusalOf(w.verifier, token)).reason).toBe("TOKEN_SIGNATURE_INVALID");
    w.server.publish([w.key.publicJwk, twin.publicJwk]);
    await w.clock.advance(4_000);
    expect((await refusalOf(w.verifier, token)).reason).toBe("TOKEN_SIGNATURE_INVALID");
    expect(looks(w, "refused")).toBe(1);
    await fetchAgain(w);
    await expect(w.verifier.verify(token)).resolves.toMatchObject({ user: "alice" });
  });

  it("are remembered nowhere where the cache is off", async () => {
    const w = await start({ cache: { maxEntries: 0, maxAgeSeconds: 300 } });
    const expired = await signToken(w.key, w.claims({ exp: 1 }));
    const first = await refusalOf(w.verifier, expired);
    expect(await refusalOf(w.verifier, expired)).not.toBe(first);
    expect([looks(w, "refused"), looks(w, "miss")]).toEqual([0, 2]);
  });
});

it("many tokens at once get their own verdicts, also when their checks need more than one turn", async () => {
  const w = await start({ alg: "ES512", issuer: { algorithms: ["ES512"] } });
  const mallory = await signingKey("ES512", "k1");
  const tokens = await Promise.all(
    Array.from({ length: 24 }, (_, i) => signToken(i % 3 === 0 ? mallory : w.key, w.claims({ sub: `user-${i}` }))),
  );
  const verdicts = await Promise.allSettled(tokens.map((token) => w.verifier.verify(token)));
  for (const [i, verdict] of verdicts.entries()) {
    const shown =
      verdict.status === "fulfilled" ? verdict.value.subject : (verdict.reason as { reason: string }).reason;
    expect(shown).toBe(i % 3 === 0 ? "TOKEN_SIGNATURE_INVALID" : `user-${i}`);
  }
});
