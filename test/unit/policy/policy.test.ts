import { describe, expect, it } from "vitest";
import type { Principal } from "../../../src/identity/principal.ts";
import { evaluateAccess } from "../../../src/policy/access.ts";
import { creationGrant } from "../../../src/policy/creation.ts";
import { namespaceMatcherFaults, namespaceMatches } from "../../../src/policy/namespace-match.ts";
import { type PolicyRules, policyFaults, type Who } from "../../../src/policy/rules.ts";
import type { SessionKey } from "../../../src/sessions/session-key.ts";

const alice: Principal = {
  issuer: "https://issuer.example",
  issuerName: "dev",
  subject: "alice-sub",
  user: "alice",
  groups: ["engineers"],
  team: "data",
  tokenFingerprint: "0",
  expiresAt: 0,
};
const bob: Principal = { ...alice, subject: "bob-sub", user: "bob" };
const key = (namespace: string): SessionKey => ({ cluster: "local", namespace, app: "etl" });
const noAdmins = { groups: [], owners: [] };
const rules: PolicyRules = {
  admins: noAdmins,
  environments: ["dev", "prod"],
  creation: [{ who: { any: true }, namespaces: ["sjns-{team}-{environment}"], profile: "default" }],
};

describe("evaluateAccess", () => {
  const driver = { owner: "alice-sub@dev", sharedWithGroups: [] as string[] };
  const shared = { ...driver, sharedWithGroups: ["analysts", "engineers"] };
  const admins = { groups: ["root"], owners: ["bob-sub@dev"] };
  const foreign = { ...alice, issuerName: "corp" };
  const root = { ...bob, subject: "carol", groups: ["root"] };

  const table: readonly [string, Principal, typeof driver, typeof admins & { issuers?: string[] }, string][] = [
    ["the owner", alice, driver, noAdmins, "OWNER"],
    ["the owner who is an admin too", { ...alice, groups: ["root"] }, shared, admins, "OWNER"],
    ["somebody else", bob, driver, noAdmins, "no"],
    ["the same subject of another issuer", foreign, driver, noAdmins, "no"],
    ["the owner's display name", { ...bob, user: "alice" }, driver, noAdmins, "no"],
    ["a subject that looks like an owner id", { ...bob, subject: "alice-sub@dev" }, driver, noAdmins, "no"],
    ["a member of a shared group", bob, shared, noAdmins, "GROUP_SHARED"],
    ["no member", { ...bob, groups: ["engineer"] }, shared, noAdmins, "no"],
    ["the same group of another issuer", { ...foreign, subject: "x" }, shared, noAdmins, "no"],
    ["an admin by owner id", { ...bob, groups: [] }, driver, admins, "ADMIN"],
    ["an admin by group", root, driver, admins, "ADMIN"],
    ["an admin group of an issuer that counts", root, driver, { ...admins, issuers: ["dev"] }, "ADMIN"],
    ["an admin group of another issuer", root, driver, { ...admins, issuers: ["corp"] }, "no"],
    ["an admin's display name", { ...bob, subject: "x", user: "bob-sub@dev" }, driver, admins, "no"],
  ];
  it.each(table)("%s", (_, principal, target, who, expected) => {
    const access = evaluateAccess(principal, target, who);
    expect(access.allow ? access.reason : "no").toBe(expected);
  });
});

describe("creationGrant", () => {
  it.each([
    ["sjns-data-dev", true],
    ["sjns-data-prod", true],
    ["sjns-data-test", false],
    ["sjns-ops-dev", false],
    ["sjns-data-dev2", false],
    ["sjns-data", false],
    ["default", false],
    ["kube-system", false],
    ["sjns-{team}-dev", false],
  ])("by default, the team's namespaces only: %s %s", (namespace, expected) => {
    expect(creationGrant(alice, key(namespace), rules) !== undefined).toBe(expected);
  });

  it("gives nothing to callers without a team, or with one that is no label", () => {
    for (const team of [undefined, "", "Data", "data-dev-x", "*", "{team}", "data/x"]) {
      expect(creationGrant({ ...alice, team }, key("sjns-data-dev"), rules), String(team)).toBeUndefined();
    }
  });

  it("an admin needs a rule too", () => {
    const admin = { ...rules, admins: { groups: ["engineers"], owners: ["alice-sub@dev"] } };
    expect(creationGrant(alice, key("sjns-ops-dev"), admin)).toBeUndefined();
    expect(creationGrant(alice, key("sjns-data-dev"), { ...admin, creation: [] })).toBeUndefined();
  });

  it("takes the first rule that covers caller and namespace", () => {
    const who: Who = { any: true };
    const creation = [
      { who: { groups: ["analysts"] }, namespaces: ["sjns-data-dev"], profile: "other" },
      { who, namespaces: ["sjns-ops-dev"], profile: "other" },
      { who, namespaces: ["sjns-data-*"], profile: "interactive" },
      { who, namespaces: ["sjns-data-dev"], profile: "pipeline" },
    ];
    const own = { ...rules, creation };
    expect(creationGrant(alice, key("sjns-data-dev"), own)).toEqual({ profile: "interactive", rule: "creation[2]" });
    expect(creationGrant(alice, key("sjns-data-prod"), own)?.profile).toBe("interactive");
  });

  const whos: readonly [Who, boolean][] = [
    [{}, false],
    [{ any: false }, false],
    [{ any: true }, true],
    [{ any: true, groups: [], teams: [], owners: [], issuers: [] }, true],
    [{ any: false, groups: ["engineers"], teams: [] }, true],
    [{ groups: ["engineers"] }, true],
    [{ groups: ["engineer"] }, false],
    [{ groups: ["engineers"], issuers: ["dev"] }, true],
    [{ groups: ["engineers"], issuers: ["corp"] }, false],
    [{ any: true, issuers: ["corp"] }, false],
    [{ teams: ["data"] }, true],
    [{ teams: ["ops"] }, false],
    [{ owners: ["alice-sub@dev"] }, true],
    [{ owners: ["alice-sub@corp", "alice@dev", "alice"] }, false],
    [{ groups: [], teams: [] }, false],
  ];
  it.each(whos)("who %j: %s", (who, expected) => {
    const own = { ...rules, creation: [{ who, namespaces: ["x"], profile: "p" }] };
    expect(creationGrant(alice, key("x"), own) !== undefined).toBe(expected);
  });
});

describe("namespaceMatches", () => {
  const values = { team: "data", user: "alice" };
  it.each([
    ["x", "x", true],
    ["x", "xy", false],
    ["*", "anything", true],
    ["a-*", "a-b", true],
    ["a-*", "a-", false],
    ["a-*", "a", false],
    ["*-a", "b-a", true],
    ["a*a", "a", false],
    ["a*a", "aa", true],
    ["a*b", "a.x.b", false],
    ["a*", "a/b", false],
    ["a*b*c", "axbxc", false],
    ["a.c", "abc", false],
    ["(a|b)", "a", false],
    ["u-{user}", "u-alice", true],
    ["{team}-*", "data-x", false],
    ["{team}-{environment}", "data-dev", true],
    ["{team}-{environment}", "data-", false],
  ])("%s covers %s: %s", (matcher, namespace, expected) => {
    expect(namespaceMatches(matcher, namespace, values, ["dev"])).toBe(expected);
  });

  it("takes linear time", () => {
    const begun = performance.now();
    namespaceMatches(`${"a".repeat(100_000)}*b`, "a".repeat(63), values, []);
    for (let i = 0; i < 1000; i += 1)
      namespaceMatches(`${"a".repeat(30)}*${"a".repeat(30)}b`, "a".repeat(63), values, []);
    expect(performance.now() - begun).toBeLessThan(1000);
  });

  it("names matchers that could never be meant", () => {
    expect(["x", "x-*", "*"].flatMap(namespaceMatcherFaults)).toEqual([]);
    for (const matcher of ["", "a**", "*a*", "A", "a.b", "a/*", "-*", " "]) {
      expect(namespaceMatcherFaults(matcher), matcher).toHaveLength(1);
    }
  });
});

describe("policyFaults", () => {
  const rule = { who: { any: true } as Who, namespaces: ["x"], profile: "p" };
  const faults = (changes: Partial<PolicyRules>, names = ["dev"]) => policyFaults({ ...rules, ...changes }, names);

  it("finds nothing wrong with sound rules", () => {
    expect(faults({})).toEqual([]);
    expect(faults({ creation: [rule], admins: { groups: ["root"], owners: [] } })).toEqual([]);
    expect(faults({ admins: { groups: ["root"], owners: [], issuers: ["dev"] } }, ["dev", "corp"])).toEqual([]);
  });

  it.each([
    ["admins.groups", { admins: { groups: ["root"], owners: [] } }],
    ["admins.issuers", { admins: { groups: [], owners: [], issuers: ["nobody"] } }],
    ["creation[0].who.groups", { creation: [{ ...rule, who: { groups: ["a"] } }] }],
    ["creation[0].who.issuers", { creation: [{ ...rule, who: { issuers: ["nobody"] } }] }],
    ["creation[0].who is empty", { creation: [{ ...rule, who: {} }] }],
    ["creation[0].namespaces is empty", { creation: [{ ...rule, namespaces: [] }] }],
    ["creation[1].namespaces[1]", { creation: [rule, { ...rule, namespaces: ["x", "{team}-*"] }] }],
    ["creation[0].namespaces[0]", { environments: ["dev", "eu-dev"] }],
  ])("names %s", (path, changes) => {
    const found = faults(changes, ["dev", "corp"]);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(path);
  });
});
