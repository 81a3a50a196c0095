import { z } from "zod";
import { amount, count, documented, section, text } from "./keys.ts";

/** Keys about who is calling, and what they may do. */

const asymmetric = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"] as const;

const claims = section(
  {
    user: documented(
      text().default("preferred_username"),
      "Claim that holds the display name. It never decides ownership.",
    ),
    groups: documented(text().default("groups"), "Claim that holds the caller's groups."),
    team: documented(text().default("team"), "Claim that holds the caller's team."),
  },
  "Which claims say what about the caller.",
);

const issuer = z.strictObject({
  name: documented(
    text("label"),
    "Short, unique name of the issuer: the part after `@` in owners and in the identity that drivers see.",
  ),
  issuer: documented(text("url"), "The issuer's URL, exactly as in the token's `iss`. Plain http only on loopback."),
  jwks_uri: documented(text("url").optional(), "Where the issuer's keys are. Plain http only on loopback.", {
    inherits: "the issuer's OpenID discovery document",
  }),
  audiences: documented(
    z.array(text()).min(1).max(64),
    "Audiences that are accepted: a token must carry at least one of them.",
  ),
  algorithms: documented(
    z.array(z.enum(asymmetric)).min(1).default(["RS256", "ES256"]),
    "Signature algorithms that are accepted. Symmetric ones and `none` cannot be named.",
  ),
  claims,
});

const tokenCache = section(
  {
    max_entries: count(
      50_000,
      { unit: "tokens", min: 0, max: 10_000_000 },
      "Verified tokens remembered, at 0.6 kB each with two groups and 1 kB with ten; 0 remembers none, no refused ones either.",
    ),
    max_age_seconds: amount(
      300,
      { unit: "seconds", min: 0, max: 86_400 },
      "The longest that a verified token is remembered; never longer than its `exp`.",
    ),
  },
  "The cache of verified tokens.",
);

const jwks = section(
  {
    cooldown_seconds: amount(
      30,
      { unit: "seconds", min: 0, max: 3600 },
      "Least time between two fetches of one issuer's keys, so that unknown key ids cannot make a flood.",
    ),
    max_age_seconds: amount(
      600,
      { unit: "seconds", min: 1, max: 86_400 },
      "Age at which fetched keys are fetched again.",
    ),
    max_stale_hours: amount(
      24,
      { unit: "hours", min: 0, max: 720 },
      "How long known keys stay in use while the issuer cannot be reached.",
    ),
    timeout_ms: amount(5000, { unit: "milliseconds", min: 1, max: 60_000 }, "Time limit of one fetch of keys."),
  },
  "Fetching the issuers' keys.",
);

export const identity = documented(
  z.strictObject({
    issuers: documented(z.array(issuer).min(1).max(32), "The OpenID Connect issuers whose tokens are accepted."),
    clock_skew_seconds: amount(
      30,
      { unit: "seconds", min: 0, max: 300 },
      "Difference between clocks that is forgiven when `exp` and `nbf` are checked.",
    ),
    max_token_bytes: count(16_384, { unit: "bytes", min: 256, max: 131_072 }, "Larger tokens are refused unread."),
    token_cache: tokenCache,
    jwks,
  }),
  "Who is calling.",
);

const names = (doc: string) => documented(z.array(text()).max(1000).default([]), doc);
const owners = (doc: string) => documented(z.array(text("owner")).max(1000).default([]), doc);

const given = <S extends z.ZodType>(list: S, doc: string) => documented(list.optional(), doc);

const who = documented(
  z
    .strictObject({
      any: documented(z.literal(true).optional(), "Every verified caller."),
      groups: given(z.array(text()).max(1000), "Callers in one of these groups."),
      teams: given(z.array(text()).max(1000), "Callers of one of these teams."),
      owners: given(z.array(text("owner")).max(1000), "These callers, as `<subject>@<issuer name>`."),
      issuers: given(z.array(text()).max(32), "Callers whose token is from one of these issuers (their short names)."),
    })
    .default({ any: true }),
  "Whom the rule is for: callers who match every key that is given.",
);

const creationRule = z.strictObject({
  who,
  namespaces: documented(
    z.array(text("namespaces")).min(1).max(1000).optional(),
    "Namespaces in which the rule lets its callers start drivers. `{team}` and `{user}` stand for the caller's own, " +
      "`{environment}` for each of policy.environments; or one `*` stands for any characters.",
    { inherits: "`[default_namespace_pattern]`" },
  ),
  profile: documented(text("label").default("default"), "The profile of the drivers that it lets them start."),
});

export const policy = section(
  {
    admins: section(
      {
        groups: names("Groups whose members administer."),
        owners: owners("Administrators, as `<subject>@<issuer name>`."),
        issuers: documented(
          z.array(text()).min(1).max(32).optional(),
          "The issuers whose groups count (their short names). Needed as soon as there are two issuers and `groups`.",
          { inherits: "all issuers" },
        ),
      },
      "Administrators may use every session and list all of them.",
    ),
    environments: documented(
      z.array(text("label")).min(1).max(100).default(["dev"]),
      "What `{environment}` stands for in namespace patterns.",
    ),
    creation: documented(
      z.array(creationRule).max(1000).optional(),
      "Who may start drivers, where, and with which profile. The first rule that fits decides; no rule, no driver.",
      { inherits: "one rule: everybody, in the namespaces that default_namespace_pattern yields, profile `default`" },
    ),
  },
  "Who may do what.",
);
