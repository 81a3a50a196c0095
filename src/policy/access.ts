import type { Driver } from "../drivers/driver.ts";
import { ownerId, type Principal } from "../identity/principal.ts";
import { GatewayError } from "../kernel/errors.ts";
import { displayKey, type SessionKey } from "../sessions/session-key.ts";
import type { Admins } from "./rules.ts";

export type Access =
  | { readonly allow: true; readonly reason: "OWNER" | "GROUP_SHARED" | "ADMIN" }
  | { readonly allow: false };

/** The issuer's name in an owner id: what follows the last "@", which an issuer's name cannot hold. */
function issuerOf(owner: string): string {
  return owner.slice(owner.lastIndexOf("@") + 1);
}

function isAdmin(principal: Principal, admins: Admins): boolean {
  if (admins.owners.includes(ownerId(principal))) return true;
  const issuers = admins.issuers ?? [];
  if (issuers.length > 0 && !issuers.includes(principal.issuerName)) return false;
  return admins.groups.some((group) => principal.groups.includes(group));
}

/**
 * Whether the caller may use that driver's session: its owner, a member of a group that it is shared with, or an
 * administrator, in that order. Display names decide nothing; a shared group is a group of the owner's own issuer, since
 * another issuer's group of the same name is other people.
 */
export function evaluateAccess(
  principal: Principal,
  driver: Pick<Driver, "owner" | "sharedWithGroups">,
  admins: Admins,
): Access {
  if (ownerId(principal) === driver.owner) return { allow: true, reason: "OWNER" };
  if (
    principal.issuerName === issuerOf(driver.owner) &&
    driver.sharedWithGroups.some((group) => principal.groups.includes(group))
  ) {
    return { allow: true, reason: "GROUP_SHARED" };
  }
  if (isAdmin(principal, admins)) return { allow: true, reason: "ADMIN" };
  return { allow: false };
}

/**
 * The one answer for a session that does not exist (and that the caller may not create) and for one that is somebody
 * else's. It takes nothing but the key, so that it cannot tell the two apart.
 */
export function sessionForbidden(key: SessionKey): GatewayError {
  return new GatewayError(
    "SESSION_FORBIDDEN",
    `session ${displayKey(key)} does not exist or you may not use it; name a session of your own, ` +
      "or ask its owner or an administrator",
    { fields: { session: displayKey(key) } },
  );
}
