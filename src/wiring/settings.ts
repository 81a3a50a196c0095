import { createHash } from "node:crypto";
import type { Config } from "../config/resolve.ts";
import type { Lifetimes } from "../drivers/lifetime.ts";
import type { TokenVerifierOptions } from "../edges/oidc/token-verifier.ts";
import type { CertificateFiles } from "../edges/tls/certificate-files.ts";
import type { ProvisionLimits } from "../flows/provision-deps.ts";
import type { Principal } from "../identity/principal.ts";
import type { PolicyRules } from "../policy/rules.ts";
import { defaultSessionKey } from "../sessions/default-session.ts";
import type { SessionKey } from "../sessions/session-key.ts";

/** The configuration in the words of each part: nothing is decided here. */

const minute = 60_000;
const hour = 60 * minute;

/** SHA-256 of the text in lower-case hex. */
export function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export function verifierSettings({ identity }: Config): Omit<TokenVerifierOptions, "clock" | "metrics" | "log"> {
  const { jwks, token_cache } = identity;
  return {
    issuers: identity.issuers.map(({ jwks_uri, ...issuer }) => ({ ...issuer, jwksUri: jwks_uri })),
    clockSkewSeconds: identity.clock_skew_seconds,
    maxTokenBytes: identity.max_token_bytes,
    cache: { maxEntries: token_cache.max_entries, maxAgeSeconds: token_cache.max_age_seconds },
    jwks: {
      cacheMaxAgeSeconds: jwks.max_age_seconds,
      cooldownSeconds: jwks.cooldown_seconds,
      timeoutMs: jwks.timeout_ms,
      maxStaleSeconds: jwks.max_stale_hours * 3600,
    },
  };
}

export function policyRules({ policy }: Config): PolicyRules {
  return { admins: policy.admins, environments: policy.environments, creation: policy.creation };
}

/** The session of a caller who names none. */
export function defaultSession(config: Config): (principal: Principal) => SessionKey {
  const options = {
    cluster: config.cluster,
    namespacePattern: config.default_namespace_pattern,
    environment: config.policy.environments[0],
    hash: sha256Hex,
  };
  return (principal) => defaultSessionKey(principal, options);
}

export function holdLimits({ hold }: Config): ProvisionLimits {
  return {
    holdMs: hold.limit_seconds * 1000,
    maxHoldsPerOwner: hold.max_per_user,
    maxHolds: hold.max_total,
    failureMemoryMs: hold.failure_memory_seconds * 1000,
  };
}

/** A profile that is no longer configured counts as `default`. */
export function profileOf(config: Config, name: string): Config["profiles"]["default"] {
  return config.profiles[name] ?? config.profiles.default;
}

export function lifetimesOf(config: Config): (profile: string) => Lifetimes {
  return (name) => {
    const profile = profileOf(config, name);
    return {
      idleTimeoutMs: profile.idle_timeout_minutes * minute,
      maxTtlMs: profile.max_ttl_hours * hour,
      drainLimitMs: profile.drain_limit_minutes * minute,
    };
  };
}

export function certificateFiles({ tls }: Config): CertificateFiles {
  return { certificateFile: tls.certificate_file, privateKeyFile: tls.private_key_file };
}
