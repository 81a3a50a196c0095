import { describe, expect, it } from "vitest";
import { claimAt, principalOf } from "../../../src/identity/claims.ts";
import type { IssuerConfig } from "../../../src/identity/issuer.ts";

const config: IssuerConfig = {
  name: "dev",
  issuer: "https://issuer.example",
  audiences: ["gatehouse"],
  claims: { user: "preferred_username", groups: "realm_access.roles", team: ["https://x.example/team"] },
};
const claims = (changes: object = {}): Record<string, unknown> => ({
  sub: "s-1",
  exp: 2_000_000_000,
  preferred_username: "alice",
  realm_access: { roles: ["a", "b", "a"] },
  "https://x.example/team": "data",
  ...changes,
});

describe("claimAt", () => {
  it("walks own members of objects only", () => {
    expect(claimAt({ a: { b: 1 } }, "a.b")).toBe(1);
    expect(claimAt({ "a.b": 1 }, "a.b")).toBeUndefined();
    expect(claimAt({ "a.b": 1 }, ["a.b"])).toBe(1);
    for (const path of ["constructor", "__proto__", "toString.name", "a.length", "a.b.c", "b.0", "n.x", "n", ""]) {
      expect(claimAt({ a: "text", b: ["x"], n: null }, path), path).toBeUndefined();
    }
  });
});

describe("principalOf", () => {
  it("takes names by the configured paths, groups once each", () => {
    expect(principalOf(claims(), config, "f")).toEqual({
      issuer: "https://issuer.example",
      issuerName: "dev",
      subject: "s-1",
      user: "alice",
      groups: ["a", "b"],
      team: "data",
      tokenFingerprint: "f",
      expiresAt: 2_000_000_000_000,
    });
  });

  it("takes one string as one group, whatever is in it, and nothing as none", () => {
    const groups = (roles: unknown) => principalOf(claims({ realm_access: { roles } }), config, "f").groups;
    expect(groups("admins, users")).toEqual(["admins, users"]);
    expect(groups(undefined)).toEqual([]);
    expect(groups(null)).toEqual([]);
    expect(groups(Array.from({ length: 256 }, (_, i) => `g${i}`))).toHaveLength(256);
    expect(principalOf(claims({ "https://x.example/team": null }), config, "f").team).toBeUndefined();
  });

  const refused: readonly [string, object][] = [
    ["sub", { sub: undefined }],
    ["sub", { sub: 1 }],
    ["sub", { sub: "" }],
    ["sub", { sub: " s" }],
    ["sub", { sub: "s " }],
    ["sub", { sub: "a\0b" }],
    ["sub", { sub: "a\u007fb" }],
    ["sub", { sub: "älice" }],
    ["sub", { sub: "s".repeat(256) }],
    ["exp", { exp: undefined }],
    ["exp", { exp: Number.POSITIVE_INFINITY }],
    ["preferred_username", { preferred_username: "" }],
    ["preferred_username", { preferred_username: ["alice"] }],
    ["preferred_username", { preferred_username: "ali\u202ece" }],
    ["preferred_username", { preferred_username: "a\u2028b" }],
    ["preferred_username", { preferred_username: "u".repeat(257) }],
    ["realm_access.roles", { realm_access: { roles: [""] } }],
    ["realm_access.roles", { realm_access: { roles: [["a"]] } }],
    ["realm_access.roles", { realm_access: { roles: { a: true } } }],
    ["realm_access.roles", { realm_access: { roles: ["g".repeat(257)] } }],
    ["realm_access.roles", { realm_access: { roles: Array(257).fill("g") } }],
    ["https://x.example/team", { "https://x.example/team": "" }],
    ["https://x.example/team", { "https://x.example/team": "a\nb" }],
  ];
  it.each(refused)("refuses claim %s of the wrong form (%j)", (name, changes) => {
    expect(() => principalOf(claims(changes), config, "f")).toThrowError(
      expect.objectContaining({ reason: "TOKEN_CLAIM_INVALID", message: expect.stringContaining(name) }),
    );
  });

  it("refuses a required claim of another value", () => {
    const strict = { ...config, requiredClaims: { "realm_access.roles": "b", org: "acme" } };
    expect(principalOf(claims({ org: "acme" }), strict, "f").user).toBe("alice");
    for (const org of [undefined, "acme2", ["other"], { acme: 1 }]) {
      expect(() => principalOf(claims({ org }), strict, "f")).toThrowError(/claim org/);
    }
  });
});
