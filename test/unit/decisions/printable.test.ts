import { describe, expect, it } from "vitest";
import { clipped, printable, printableLines } from "../../../src/decisions/printable.ts";

describe("printable", () => {
  it.each([
    ["plain", "plain"],
    ["two\r\nlines\tand a tab", "two  lines and a tab"],
    ["\u001b[31mred\u001b[0m", "?[31mred?[0m"],
    ["right\u202eleft", "right?left"],
    ["zero\u200bwidth\u0000", "zero?width?"],
    ["lone \ud800 half", "lone ? half"],
    ["Grüße 漢字 🎉", "Grüße 漢字 🎉"],
    ["line\u2028separator", "line?separator"],
  ])("%j becomes %j", (text, expected) => {
    expect(printable(text, 100)).toBe(expected);
  });

  it("cuts at the limit without half a character", () => {
    expect(printable("abcdef", 6)).toBe("abcdef");
    expect(printable("abcdefg", 6)).toBe("abcde…");
    for (let max = 2; max < 12; max += 1) {
      const cut = printable("🎉🎉🎉🎉🎉🎉🎉", max);
      expect(cut.length).toBeLessThanOrEqual(max);
      expect(cut).not.toMatch(/\p{Cs}/u);
      expect(clipped("🎉🎉🎉🎉🎉🎉🎉", max)).not.toMatch(/\p{Cs}/u);
    }
  });

  it("reads no further than it needs", () => {
    const long = "x".repeat(20_000_000);
    const begun = performance.now();
    for (let i = 0; i < 200; i += 1) printable(long, 200);
    expect(performance.now() - begun).toBeLessThan(1_000);
  });
});

describe("printableLines", () => {
  it("keeps line breaks and nothing else that is unprintable", () => {
    expect(printableLines("cause\r\nlog \u0007one\n\u001b[1mtwo\ttabs\u2029", 100)).toBe(
      "cause\nlog ?one\n?[1mtwo tabs?",
    );
  });
});
