import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { Principal } from "../../../src/identity/principal.ts";
import { defaultSessionKey } from "../../../src/sessions/default-session.ts";
import { namespacePatternFaults } from "../../../src/sessions/namespace-pattern.ts";
import { displayKey, resolveSessionKey } from "../../../src/sessions/session-key.ts";
import { seeded, text } from "../../support/seeded.ts";

const alice: Principal = {
  issuer: "https://issuer.example",
  issuerName: "dev",
  subject: "sub-1",
  user: "alice",
  groups: [],
  team: "data",
  tokenFingerprint: "0",
  expiresAt: 0,
};
const options = {
  cluster: "local",
  namespacePattern: "sjns-{team}-{environment}",
  environment: "dev",
  hash: (value: string) => createHash("sha256").update(value).digest("hex"),
};

describe("defaultSessionKey", () => {
  it("is readable, in the team's namespace, and the same each time", () => {
    const key = defaultSessionKey(alice, options);
    expect(displayKey(key)).toMatch(/^sjns-data-dev\/alice-[0-9a-f]{12}$/);
    expect(defaultSessionKey({ ...alice, groups: ["x"], tokenFingerprint: "1" }, options)).toEqual(key);
  });

  it("differs for each owner, not for each display name", () => {
    const apps = [alice, { ...alice, subject: "sub-2" }, { ...alice, issuerName: "corp" }].map(
      (principal) => defaultSessionKey(principal, options).app,
    );
    expect(new Set(apps).size).toBe(3);
  });

  it("can be named by header and by host, whatever the display name is", () => {
    const random = seeded(3);
    const noise = ["a", "Z", "-", "--", ".", "@", " ", "é", "\u0130", "_", "0", "/", "%2F", ","];
    const users = Array.from({ length: 500 }, () => text(random, noise, 1, 60));
    for (const user of [...users, "alice@example.com", "O'Neil", "李雷", "-", "a".repeat(256)]) {
      const key = defaultSessionKey({ ...alice, user, team: "t" }, { ...options, namespacePattern: "{team}" });
      const source = { domain: "d.example", cluster: "local", fallback: () => key };
      expect(resolveSessionKey({ ...source, header: displayKey(key), host: "" })).toEqual(key);
      const host = `${key.app}--${key.namespace}.d.example`;
      const other = { ...key, app: "not-this-one" };
      expect(resolveSessionKey({ ...source, header: undefined, host, fallback: () => other })).toEqual(key);
    }
  });

  it("is refused where a value is missing or no DNS label: nothing is repaired", () => {
    for (const team of [
      undefined,
      "",
      "Data",
      "data.eng",
      "data_eng",
      "-data",
      "data-",
      "dätä",
      "a/b",
      "a".repeat(64),
    ]) {
      expect(() => defaultSessionKey({ ...alice, team }, options), String(team)).toThrowError(
        expect.objectContaining({ reason: "SESSION_KEY_NEEDED" }),
      );
    }
    expect(() => defaultSessionKey({ ...alice, team: "a".repeat(60) }, options)).toThrowError(/longer than 63/);
    expect(() => defaultSessionKey(alice, { ...options, environment: undefined })).toThrowError(/environment/);
    expect(() => defaultSessionKey({ ...alice, user: "A B" }, { ...options, namespacePattern: "{user}" })).toThrow();
  });
});

describe("namespacePatternFaults", () => {
  it.each([
    ["sjns-{team}-{environment}", ["dev", "prod"]],
    ["{environment}-{team}", ["dev", "prod"]],
    ["{team}", []],
    ["spark", ["dev"]],
    ["u-{user}", ["dev"]],
  ])("%s is sound with %j", (pattern, environments) => {
    expect(namespacePatternFaults(pattern, environments)).toEqual([]);
  });

  it.each([
    ["sjns-{team}-{environment}", ["dev", "eu-dev"]],
    ["{environment}-{team}", ["dev", "dev-eu"]],
    ["{team}{environment}", ["dev", "xdev"]],
    ["{team}-{user}", ["dev"]],
    ["{team}-{team}", ["dev"]],
    ["{team}-{oops}", ["dev"]],
    ["{team", ["dev"]],
    ["{}", ["dev"]],
    ["{{team}}", ["dev"]],
    ["Sjns-{team}", ["dev"]],
    ["sjns.{team}", ["dev"]],
    ["sjns-*", ["dev"]],
    ["-{team}", ["dev"]],
    ["", ["dev"]],
    ["{team}", ["Dev"]],
  ])("%j with %j is a fault", (pattern, environments) => {
    expect(namespacePatternFaults(pattern, environments)).not.toEqual([]);
  });

  it("a sound pattern gives two teams two namespaces", () => {
    const random = seeded(5);
    const parts = ["a", "b", "-a", "-b"];
    for (let i = 0; i < 300; i += 1) {
      const environments = [...new Set([text(random, parts, 1, 3), text(random, parts, 1, 3)])];
      const namespacePattern = random() < 0.5 ? "x-{team}-{environment}" : "x-{environment}-{team}";
      if (namespacePatternFaults(namespacePattern, environments).length > 0) continue;
      const seen = new Map<string, string>();
      for (let j = 0; j < 50; j += 1) {
        const team = `a${text(random, parts, 0, 3)}`;
        for (const environment of environments) {
          const key = defaultSessionKey({ ...alice, team }, { ...options, namespacePattern, environment });
          const meant = `${team} in ${environment}`;
          expect(seen.get(key.namespace) ?? meant).toBe(meant);
          seen.set(key.namespace, meant);
        }
      }
    }
  });
});
