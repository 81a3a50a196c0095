import { expect, test } from "vitest";
import { barPlot } from "../../bench/plots.ts";

const plot = {
  title: "p99 < 1 s",
  unit: "ms",
  digits: 1,
  better: "less",
  bars: [
    { label: "Go & friends", spread: { median: 2, least: 1, most: 4 }, own: false },
    { label: "Gatehouse", spread: { median: 3, least: 3, most: 3 }, own: true },
  ],
};

const numberIn = (svg: string, pattern: RegExp): number[] =>
  [...svg.matchAll(new RegExp(pattern, "g"))].map((match) => Number(match[1]));

test("a plot says in words all that it shows", () => {
  const svg = barPlot(plot);
  expect(svg).toContain('<title id="title">p99 &lt; 1 s (ms)</title>');
  expect(svg).toContain("Go &amp; friends: 2.0 ms (1.0 to 4.0); Gatehouse: 3.0 ms (3.0 to 3.0).</desc>");
  expect(svg).toContain("Shorter is better");
});

test("bars are as long as their medians, and the longest whisker stays inside", () => {
  const svg = barPlot(plot);
  const [first = 0, second = 0] = numberIn(svg, /<rect [^>]* width="([\d.]+)"/);
  expect(second / first).toBeCloseTo(1.5, 2);
  const [width = 0] = numberIn(svg, /<svg [^>]* width="([\d.]+)"/);
  expect(Math.max(...numberIn(svg, /H([\d.]+)M/))).toBeLessThan(width);
});

test("every tag is closed, and nothing is not a number", () => {
  for (const bars of [plot.bars, [{ label: "none", spread: { median: 0, least: 0, most: 0 }, own: true }], []]) {
    const svg = barPlot({ ...plot, bars });
    const open: string[] = [];
    for (const [, closing, name = "", self] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
      if (closing === "/") expect(open.pop()).toBe(name);
      else if (self !== "/") open.push(name);
    }
    expect(open).toEqual([]);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  }
});
