import { ownerId, type Principal } from "../identity/principal.ts";
import type { SessionKey } from "../sessions/session-key.ts";
import { namespaceMatches } from "./namespace-match.ts";
import type { PolicyRules, Who } from "./rules.ts";

/** A creation rule's answer. */
export interface CreationGrant {
  readonly profile: string;
  /** Which rule granted it, for the audit: `creation[2]`. */
  readonly rule: string;
}

const given = (list: readonly string[] | undefined): list is readonly string[] => list !== undefined && list.length > 0;

function matches(who: Who, principal: Principal): boolean {
  const tests: boolean[] = [];
  if (who.any === true) tests.push(true);
  if (given(who.groups)) tests.push(who.groups.some((group) => principal.groups.includes(group)));
  if (given(who.teams)) tests.push(principal.team !== undefined && who.teams.includes(principal.team));
  if (given(who.owners)) tests.push(who.owners.includes(ownerId(principal)));
  if (given(who.issuers)) tests.push(who.issuers.includes(principal.issuerName));
  return tests.length > 0 && tests.every(Boolean);
}

/**
 * The profile with which the caller may start a driver for that session, or undefined: then the session cannot be
 * created by this caller, whoever they are (an administrator needs a rule like everybody else). The first rule in order
 * that covers caller and namespace decides.
 */
export function creationGrant(principal: Principal, key: SessionKey, rules: PolicyRules): CreationGrant | undefined {
  const values = { team: principal.team, user: principal.user };
  const index = rules.creation.findIndex(
    (rule) =>
      matches(rule.who, principal) &&
      rule.namespaces.some((matcher) => namespaceMatches(matcher, key.namespace, values, rules.environments)),
  );
  const rule = rules.creation[index];
  return rule === undefined ? undefined : { profile: rule.profile, rule: `creation[${index}]` };
}
