import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { driverName } from "../../../src/drivers/driver-name.ts";

const hash = (text: string) => createHash("sha256").update(text).digest("hex");
const name = (cluster: string, namespace: string, app: string) => driverName({ cluster, namespace, app }, hash);

describe("a driver's name", () => {
  it("is a DNS label, always the same for one key", () => {
    expect(name("local", "team", "notebook")).toMatch(/^gh-[0-9a-f]{32}$/);
    expect(name("local", "team", "notebook")).toBe(name("local", "team", "notebook"));
  });

  it("differs wherever the keys do, also where their parts run together", () => {
    const names = [
      name("a", "b", "c"),
      name("ab", "", "c"),
      name("a", "bc", ""),
      name("", "ab", "c"),
      name("a", "b", "d"),
    ];
    expect(new Set(names).size).toBe(names.length);
  });
});
