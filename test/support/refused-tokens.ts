import type { Knock } from "./knock.ts";
import { aCall, type Refusal, type RefusalWorld, refusals, session } from "./refusal-world.ts";
import { rawToken, signingKey, signToken } from "./tokens.ts";
import { signedWithPublicKey, unsigned } from "./two-issuers.ts";

const ago = (seconds: number): number => Math.floor(Date.now() / 1000) - seconds;

/** Credentials that prove nothing, each on alice's session and otherwise well-formed. */
export function refusedTokens({ as, bearer, home, elsewhere }: RefusalWorld): readonly Refusal[] {
  const token = async (make: () => Promise<string>): Promise<Knock> => ({ headers: bearer(await make()), body: aCall });
  return [
    ...refusals(16, "TOKEN_MISSING", ["no credential", async () => ({ headers: { "x-spark-session-id": session } })]),
    ...refusals(16, "TOKEN_MISSING", ["an empty one", async () => ({ headers: { authorization: "Bearer " } })]),
    ...refusals(16, "TOKEN_MALFORMED", ["Basic", async () => ({ headers: { authorization: "Basic YWxpY2U6eA==" } })]),
    ...refusals(16, "TOKEN_MALFORMED", [
      "bytes that are no text",
      () => token(async () => (await home().token("alice")).replace(".", "\xff\xfe.")),
    ]),
    ...refusals(16, "TOKEN_EXPIRED", ["expired", () => token(() => home().token("alice", { exp: ago(60) }))]),
    ...refusals(16, "TOKEN_NOT_YET_VALID", [
      "not valid yet",
      () => token(() => home().token("alice", { nbf: ago(-90) })),
    ]),
    ...refusals(
      16,
      "TOKEN_AUDIENCE_WRONG",
      ["another audience", () => token(() => home().token("alice", { aud: "grafana" }))],
      ["no audience", () => token(() => home().token("alice", { aud: undefined }))],
    ),
    ...refusals(
      16,
      "TOKEN_ISSUER_UNKNOWN",
      ["an unknown issuer", () => token(() => home().token("alice", { iss: "https://login.example.com" }))],
      ["the issuer with a slash", () => token(() => home().token("alice", { iss: `${home().url}/` }))],
    ),
    ...refusals(
      16,
      "TOKEN_ALGORITHM_REFUSED",
      ["alg none", () => token(async () => unsigned(home().claims("alice")))],
      [
        "HS256 with the public key",
        () => token(() => signedWithPublicKey(home().key.publicJwk, home().claims("alice"))),
      ],
      [
        "an algorithm that is not configured",
        () => token(async () => signToken(await signingKey("ES256", "local-key"), home().claims("alice"))),
      ],
    ),
    ...refusals(
      16,
      "TOKEN_KEY_UNKNOWN",
      ["an unknown kid", () => token(() => home().token("alice", {}, { kid: "nobody" }))],
      [
        "the other issuer's key for this one's name",
        () => token(() => signToken(elsewhere().key, home().claims("alice"))),
      ],
    ),
    ...refusals(16, "TOKEN_SIGNATURE_INVALID", [
      "a stranger's key under a known kid",
      () => token(async () => signToken(await signingKey("RS256", "local-key"), home().claims("alice"))),
    ]),
    ...refusals(16, "CREDENTIALS_AMBIGUOUS", [
      "authorization and authentication",
      async () => ({ headers: { ...(await as("alice")), authentication: `Bearer ${await home().token("alice")}` } }),
    ]),
    ...refusals(16, "TOKEN_MALFORMED", [
      "crit",
      () =>
        token(async () => rawToken({ alg: "RS256", kid: "local-key", crit: ["exp"] }, home().claims("alice"), "c2ln")),
    ]),
    ...refusals(16, "TOKEN_TOO_LARGE", [
      "20 kB",
      () => token(() => home().token("alice", { pad: "x".repeat(15_000) })),
    ]),
  ];
}
