import { ownerId, type Principal } from "../identity/principal.ts";
import { GatewayError } from "../kernel/errors.ts";
import { fillNamespace } from "./namespace-pattern.ts";
import type { SessionKey } from "./session-key.ts";

export interface DefaultSessionOptions {
  readonly cluster: string;
  /** `default_namespace_pattern`, sound by `namespacePatternFaults`. */
  readonly namespacePattern: string;
  /** The environment to use; undefined where none is configured. */
  readonly environment: string | undefined;
  /** SHA-256 of the text in lower-case hex. */
  readonly hash: (text: string) => string;
}

const MAX_SLUG = 30;
const HASH_DIGITS = 12;

/** For people: the part of the display name before an "@", made of letters, digits and single hyphens. */
function slug(user: string): string {
  const name = user.split("@", 1)[0] ?? "";
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_SLUG)
    .replace(/^-|-$/g, "");
  return plain === "" ? "user" : plain;
}

/**
 * The session that a caller who names none gets: namespace from the pattern, app = readable name + 48 bits of the owner's
 * hash. The app depends on the owner, so two people with one display name get two sessions; it holds neither dots nor
 * "--", so the session can be named by host too.
 * @throws GatewayError SESSION_KEY_NEEDED where the caller's team (or another placeholder) is missing or not a DNS label
 */
export function defaultSessionKey(principal: Principal, options: DefaultSessionOptions): SessionKey {
  const filled = fillNamespace(options.namespacePattern, {
    team: principal.team,
    environment: options.environment,
    user: principal.user,
  });
  if ("unusable" in filled) {
    const why =
      filled.unusable === "length"
        ? "your default namespace would be longer than 63 characters"
        : `your ${filled.unusable} is missing or is not a DNS label (lower-case letters, digits, hyphens)`;
    throw new GatewayError(
      "SESSION_KEY_NEEDED",
      `you have no default session: ${why}; name a session with x-spark-session-id=<namespace>.<app>`,
    );
  }
  const app = `${slug(principal.user)}-${options.hash(ownerId(principal)).slice(0, HASH_DIGITS)}`;
  return { cluster: options.cluster, namespace: filled.namespace, app };
}
