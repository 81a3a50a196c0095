import { namespacePatternFaults } from "../sessions/namespace-pattern.ts";
import { namespaceMatcherFaults } from "./namespace-match.ts";

/**
 * Whom a rule is for. Every field that is given must match (so `groups` with `issuers` means those groups of those
 * issuers); within a field one entry is enough. An empty list and `any: false` count as not given; with nothing given
 * it matches nobody.
 */
export interface Who {
  /** Every verified caller. */
  readonly any?: boolean | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly teams?: readonly string[] | undefined;
  /** Owner ids, `sub@issuerName`. */
  readonly owners?: readonly string[] | undefined;
  /** Issuer names. */
  readonly issuers?: readonly string[] | undefined;
}

/** Lets those callers start drivers of that profile in those namespaces. */
export interface CreationRule {
  readonly who: Who;
  /** Each an exact namespace, a glob with one `*`, or a pattern with {team}, {environment} or {user}. */
  readonly namespaces: readonly string[];
  readonly profile: string;
}

/** Who may use any session. Being one lets nobody create: that takes a creation rule. */
export interface Admins {
  readonly groups: readonly string[];
  /** Owner ids, `sub@issuerName`. */
  readonly owners: readonly string[];
  /** The issuers whose `groups` count; undefined or empty: all. Needed as soon as there are two issuers. */
  readonly issuers?: readonly string[] | undefined;
}

export interface PolicyRules {
  readonly admins: Admins;
  /** The environments that {environment} stands for in creation rules. */
  readonly environments: readonly string[];
  /** In order; the first that matches grants. Empty: nobody creates anything. */
  readonly creation: readonly CreationRule[];
}

function whoFaults(who: Who, issuerNames: readonly string[]): string[] {
  const given = [who.groups, who.teams, who.owners, who.issuers].some((list) => (list ?? []).length > 0);
  const faults: string[] = [];
  if (who.any !== true && !given) faults.push("who is empty: it would match nobody");
  for (const name of who.issuers ?? []) {
    if (!issuerNames.includes(name)) faults.push(`who.issuers: no issuer is named "${name}"`);
  }
  if ((who.groups ?? []).length > 0 && (who.issuers ?? []).length === 0 && issuerNames.length > 1) {
    faults.push("who.groups needs who.issuers: with several issuers the same group name may mean different people");
  }
  return faults;
}

/**
 * What is wrong with the rules, each fault with its path; empty where nothing is. Call it once when the configuration is
 * read: the functions that apply the rules take them to be free of faults.
 */
export function policyFaults(rules: PolicyRules, issuerNames: readonly string[]): string[] {
  const faults: string[] = [];
  if (rules.admins.groups.length > 0 && (rules.admins.issuers ?? []).length === 0 && issuerNames.length > 1) {
    faults.push("admins.groups needs admins.issuers: with several issuers the same group name may mean other people");
  }
  for (const name of rules.admins.issuers ?? []) {
    if (!issuerNames.includes(name)) faults.push(`admins.issuers: no issuer is named "${name}"`);
  }
  rules.creation.forEach((rule, i) => {
    const path = `creation[${i}]`;
    faults.push(...whoFaults(rule.who, issuerNames).map((fault) => `${path}.${fault}`));
    if (rule.namespaces.length === 0) faults.push(`${path}.namespaces is empty: it would grant nothing`);
    rule.namespaces.forEach((namespace, j) => {
      const found = namespace.includes("{")
        ? namespacePatternFaults(namespace, rules.environments)
        : namespaceMatcherFaults(namespace);
      faults.push(...found.map((fault) => `${path}.namespaces[${j}]: ${fault}`));
    });
  });
  return faults;
}
