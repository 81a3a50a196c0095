import { KeyObject, sign } from "node:crypto";
import { importJWK, type JWK } from "jose";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { supportedAlgorithms } from "../../src/identity/issuer.ts";
import { type JoseChecks, joseVerdict } from "../support/jose-verdict.ts";
import { type OidcWorld, oidcWorld, refusalOf } from "../support/oidc-world.ts";
import { pick, seeded } from "../support/seeded.ts";
import { rawToken, type SigningKey, signingKey, signToken } from "../support/tokens.ts";

// The signature check and the claims' are ours; jose's are the measure: both must say the same of every token.

let world: OidcWorld;
let keys: ReadonlyMap<string, SigningKey>;
let checks: JoseChecks;

type Imported = ReturnType<JoseChecks["key"]>;
const imported = new Map<string, Imported>();
function imports(jwk: JWK, alg: string): Imported {
  const key = importJWK({ ...jwk, alg }, alg) as Imported;
  imported.set(`${alg} ${jwk.kid}`, key);
  return key;
}

beforeAll(async () => {
  world = await oidcWorld({ issuer: { algorithms: supportedAlgorithms } });
  const made = await Promise.all(supportedAlgorithms.map(async (alg) => [alg, await signingKey(alg, alg)] as const));
  keys = new Map(made);
  // Without `alg` an RSA key serves six algorithms: only the token's header says which.
  world.server.publish(made.map(([, { publicJwk }]) => ({ ...publicJwk, alg: undefined })));
  await world.clock.advance(600_000);
  await vi.waitUntil(() => world.counted.get("gatehouse_jwks_fetches_total ok") === 2, { timeout: 10_000 });
  checks = {
    issuer: world.server.url,
    audience: "gatehouse",
    now: world.clock.now(),
    clockSkewSeconds: 30,
    algorithms: supportedAlgorithms,
    key: async ({ alg, kid }) => {
      const jwk = keys.get(kid ?? "")?.publicJwk;
      if (jwk === undefined || alg === undefined) throw new Error("the corpus has no such key");
      return await (imported.get(`${alg} ${kid}`) ?? imports(jwk, alg));
    },
  };
});
afterAll(() => world.close());

async function ourVerdict(token: string): Promise<string> {
  return await world.verifier.verify(token).then(
    () => "accepted",
    async () => (await refusalOf(world.verifier, token)).reason,
  );
}

async function expectSame(tokens: readonly (readonly [string, string])[]): Promise<string[]> {
  const verdicts: string[] = [];
  for (const [name, token] of tokens) {
    const ours = await ourVerdict(token);
    expect(ours, name).toBe(await joseVerdict(token, checks));
    verdicts.push(ours);
  }
  return verdicts;
}

const keyOf = (alg: string): SigningKey => {
  const key = keys.get(alg);
  if (key === undefined) throw new Error(`no key for ${alg}`);
  return key;
};

const parts = (token: string): [string, string, Buffer] => {
  const [head = "", body = "", signature = ""] = token.split(".");
  return [head, body, Buffer.from(signature, "base64url")];
};

/** DER, as OpenSSL and many libraries make ECDSA signatures, instead of JWS's two plain numbers. */
function der(signature: Buffer): Buffer {
  const integer = (bytes: Buffer): Buffer => {
    const positive = Buffer.concat([Buffer.from([0]), bytes]);
    return Buffer.concat([Buffer.from([2, positive.length]), positive]);
  };
  const half = signature.length / 2;
  const body = Buffer.concat([integer(signature.subarray(0, half)), integer(signature.subarray(half))]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

describe.each(supportedAlgorithms)("%s: as jose says", (alg) => {
  it("of good tokens and of signatures that are mangled in every way", async () => {
    const key = keyOf(alg);
    const good = await signToken(key, world.claims());
    const [head, body, signature] = parts(good);
    const flipped = (index: number, bit = 1): Buffer => {
      const copy = Buffer.from(signature);
      copy.writeUInt8(copy.readUInt8(index) ^ bit, index);
      return copy;
    };
    const { length } = signature;
    const mangled: readonly (readonly [string, Buffer])[] = [
      ...[0, 1, length / 2 - 1, length / 2, length - 1].map((at) => [`byte ${at} changed`, flipped(at)] as const),
      ["first bit changed", flipped(0, 0x80)],
      ["one byte less", signature.subarray(0, -1)],
      ["one byte less in front", signature.subarray(1)],
      ["one byte more", Buffer.concat([signature, Buffer.from([0])])],
      ["one byte more in front", Buffer.concat([Buffer.from([0]), signature])],
      ["all zeros", Buffer.alloc(length)],
      ["all ones", Buffer.alloc(length, 0xff)],
      ["one byte", Buffer.from([1])],
      ["halves swapped", Buffer.concat([signature.subarray(length / 2), signature.subarray(0, length / 2)])],
      ["in DER", der(signature)],
      ["twice", Buffer.concat([signature, signature])],
    ];
    const tokens = mangled.map(([name, bytes]) => [name, `${head}.${body}.${bytes.toString("base64url")}`] as const);
    const verdicts = await expectSame([["good", good], ...tokens]);
    expect(verdicts).toEqual(["accepted", ...Array(tokens.length).fill("TOKEN_SIGNATURE_INVALID")]);
  });

  it("of tokens under another key, and of signatures made for another algorithm", async () => {
    const key = keyOf(alg);
    const stranger = await signingKey(alg, alg);
    const tokens: (readonly [string, string])[] = [["a stranger's", await signToken(stranger, world.claims())]];
    if (alg.startsWith("RS") || alg.startsWith("PS")) {
      for (const other of supportedAlgorithms.filter((each) => /^[RP]S/.test(each) && each !== alg)) {
        const [, , signature] = parts(await signToken(keyOf(other), world.claims(), { kid: alg }));
        const unsigned = rawToken({ alg, kid: other }, world.claims());
        tokens.push([`${other}'s signature`, `${unsigned}${signature.toString("base64url")}`]);
      }
    }
    expect(new Set(await expectSame(tokens))).toEqual(new Set(["TOKEN_SIGNATURE_INVALID"]));
    const [head, , signature] = parts(await signToken(key, world.claims()));
    const [, body] = parts(await signToken(key, world.claims({ sub: "bob" })));
    await expectSame([["other claims", `${head}.${body}.${signature.toString("base64url")}`]]);
  });
});

it("of claims of every kind, one at a time and two at a time", async () => {
  const now = Math.floor(world.clock.now() / 1000);
  const times = [
    now - 31,
    now - 30,
    now - 29,
    now,
    now + 30,
    now + 30.5,
    now + 31,
    0,
    -1,
    1e12,
    "1",
    null,
    true,
    [],
    {},
  ];
  const changes: Record<string, unknown>[] = [{}];
  for (const claim of ["exp", "nbf", "iat"])
    changes.push({ [claim]: undefined }, ...times.map((at) => ({ [claim]: at })));
  const audiences = [
    "other",
    "gatehouse ",
    "Gatehouse",
    ["gatehouse"],
    ["other", "gatehouse"],
    ["other"],
    [],
    {},
    null,
    1,
  ];
  changes.push(...[...audiences, [["gatehouse"]], [null], undefined].map((aud) => ({ aud })));
  changes.push(...[undefined, "bob"].map((sub) => ({ sub })));
  const faulty = [
    { exp: 0 },
    { nbf: 1e12 },
    { iat: 1e12 },
    { aud: "other" },
    { sub: undefined },
    { nbf: "x" },
    { iat: "x" },
  ];
  for (const first of faulty) for (const second of faulty) changes.push({ ...first, ...second });
  const named = await Promise.all(
    changes.map(
      async (each, i) =>
        [
          `${i}: ${JSON.stringify(each)}`,
          await signToken(keyOf("ES256"), world.claims({ ...each, jti: `${i}` })),
        ] as const,
    ),
  );
  const verdicts = new Set(await expectSame(named));
  for (const reason of [
    "accepted",
    "TOKEN_EXPIRED",
    "TOKEN_NOT_YET_VALID",
    "TOKEN_AUDIENCE_WRONG",
    "TOKEN_CLAIM_INVALID",
  ]) {
    expect(verdicts).toContain(reason);
  }
});

it("of a name that comes twice: the last one counts, in what is checked and in what is believed", async () => {
  const key = keyOf("RS256");
  const claims = JSON.stringify(world.claims());
  const tokens = [
    `{"sub":"bob","aud":"other","exp":1,${claims.slice(1)}`,
    `${claims.slice(0, -1)},"sub":"bob"}`,
    `${claims.slice(0, -1)},"aud":"other"}`,
    `${claims.slice(0, -1)},"exp":1}`,
  ].map((json) => {
    const head = Buffer.from('{"alg":"ES256","alg":"RS256","kid":"RS256"}').toString("base64url");
    const signed = `${head}.${Buffer.from(json).toString("base64url")}`;
    const signature = sign("sha256", Buffer.from(signed), KeyObject.from(key.privateKey)).toString("base64url");
    return [json, `${signed}.${signature}`] as const;
  });
  const verdicts = await expectSame(tokens);
  expect(verdicts).toEqual(["accepted", "accepted", "TOKEN_AUDIENCE_WRONG", "TOKEN_EXPIRED"]);
  expect(await world.verifier.verify(tokens[0]?.[1] ?? "")).toMatchObject({ subject: "alice-sub" });
  expect(await world.verifier.verify(tokens[1]?.[1] ?? "")).toMatchObject({ subject: "bob" });
});

it("of tokens in which characters are changed, dropped or added at random", async () => {
  const random = seeded(5);
  const alphabet = "ABCXYZabcxyz0189-_=+/. é".split("");
  const good = await Promise.all(["RS256", "ES256", "EdDSA"].map((alg) => signToken(keyOf(alg), world.claims())));
  let accepted = 0;
  for (let i = 0; i < 2000; i += 1) {
    const token = pick(random, good);
    const at = i % 5 === 0 ? token.length - 1 - Math.floor(random() * 3) : Math.floor(random() * token.length);
    const dropped = i % 11 === 0 ? 0 : 1;
    const changed = token.slice(0, at) + (i % 7 === 0 ? "" : pick(random, alphabet)) + token.slice(at + dropped);
    const jose = await joseVerdict(changed, checks).catch(() => "no such key");
    // jose passes over blanks and padding; a token is sent as issued, or refused.
    const expected = jose === "accepted" && /^[\w.-]*$/.test(changed);
    expect([changed, (await ourVerdict(changed)) === "accepted"], jose).toEqual([changed, expected]);
    if (expected) accepted += 1;
  }
  // The last character of a signature may have bits that mean nothing: such tokens are good, for both.
  expect(accepted).toBeGreaterThan(0);
});
