import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { isSealed, seal, sign, verifies } from "../../../src/edges/kubernetes/seal.ts";

const key = randomBytes(32);
const other = randomBytes(32);

describe("seal", () => {
  it("holds for the object and the facts that it was made for, and nothing else", () => {
    const made = seal([key], "uid-1", '{"owner":"alice"}');
    expect(made).toMatch(/^[\w-]{43}$/);
    expect(isSealed([key], "uid-1", '{"owner":"alice"}', made)).toBe(true);
    expect(isSealed([key], "uid-2", '{"owner":"alice"}', made)).toBe(false);
    expect(isSealed([key], "uid-1", '{"owner":"mallory"}', made)).toBe(false);
    expect(isSealed([other], "uid-1", '{"owner":"alice"}', made)).toBe(false);
  });

  it("does not confuse where one part ends and the next begins", () => {
    expect(seal([key], "ab", "c")).not.toBe(seal([key], "a", "bc"));
    expect(sign([key], "x", ["a", ""])).not.toBe(sign([key], "x", ["", "a"]));
    expect(sign([key], "x", ["a"])).not.toBe(sign([key], "x", ["a", ""]));
    expect(sign([key], "xa", [])).not.toBe(sign([key], "x", ["a"]));
    expect(sign([key], "x", ["ü€"])).toBe(sign([key], "x", [Buffer.from("ü€")]));
  });

  it("is worth nothing for another purpose", () => {
    expect(verifies([key], "something else", ["uid-1", "facts"], seal([key], "uid-1", "facts"))).toBe(false);
  });

  it("is made with the first key and verified with all, so that keys can be rotated", () => {
    const made = seal([key, other], "uid", "facts");
    expect(made).toBe(seal([key], "uid", "facts"));
    expect(isSealed([other, key], "uid", "facts", made)).toBe(true);
    expect(isSealed([], "uid", "facts", made)).toBe(false);
    expect(() => seal([], "uid", "facts")).toThrow("no key");
  });

  it.each(["", "x", "=".repeat(43), "ü".repeat(43), "A".repeat(10_000)])("refuses what is no seal: %#", (text) => {
    expect(isSealed([key], "uid", "facts", text)).toBe(false);
  });

  it("has one text only", () => {
    const made = seal([key], "uid", "facts");
    for (const same of [`${made}=`, ` ${made}`, `${made}\n`]) {
      expect(isSealed([key], "uid", "facts", same)).toBe(false);
    }
  });
});
