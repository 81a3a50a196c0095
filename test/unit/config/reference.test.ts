import { expect, it } from "vitest";
import { nearest } from "../../../src/config/faults.ts";
import { keyReference } from "../../../src/config/reference.ts";

const rows = keyReference();

it("documents every key with a sentence, a type, and a unit where it is a number", () => {
  for (const row of rows) {
    expect(row.doc, row.path).toMatch(/^[A-Z].*\.$/);
    expect(row.type, row.path).not.toBe("");
    if (/^(number|integer)/.test(row.type)) {
      expect(row.unit, row.path).toBeDefined();
      expect(row.standard, row.path).toBeDefined();
      expect(row.type, row.path).not.toMatch(/Infinity|null|undefined/);
    }
  }
});

it("reaches into lists and maps", () => {
  const paths = rows.map((row) => row.path);
  expect(paths).toContain("identity.issuers[].claims.user");
  expect(paths).toContain("profiles.<name>.on_demand.driver_memory");
  expect(paths).toContain("runtime.local.installations.<version>.spark_home");
  expect(new Set(paths).size).toBe(paths.length);
});

it("suggests only names that are near", () => {
  expect(nearest("idle_timout", ["idle_timeout", "image"])).toBe("idle_timeout");
  expect(nearest("something", ["idle_timeout", "image"])).toBeUndefined();
});
