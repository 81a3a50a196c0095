import { expect, test } from "vitest";
import type { ScenarioRecord } from "../../bench/record.ts";
import { renderPlots, renderReport } from "../../bench/report.ts";

const record: ScenarioRecord = {
  v: 1,
  id: "door",
  title: "The door: hot tokens",
  about: "What it is.",
  figures: [
    { name: "rate", unit: "calls/s", digits: 0, better: "more", plot: true },
    { name: "p99", unit: "ms", digits: 2, better: "less" },
    { name: "never shown", unit: "ms", digits: 2, better: "less" },
  ],
  targets: [
    { text: "ours, of theirs", figure: "rate", variant: "Gatehouse", per: "Go", atLeast: 0.85 },
    { text: "our p99", figure: "p99", variant: "Gatehouse", atMost: 2 },
    { text: "not there", figure: "rate", variant: "Nobody", atLeast: 1 },
  ],
  variants: ["Go", "Gatehouse"],
  run: {
    at: "2026-01-02 03:04 UTC",
    command: "npm run bench",
    seconds: 3,
    machine: { processor: "A processor", cores: 2, memoryGiB: 4, kernel: "Linux 6" },
    versions: { Node: "20.1.0", Envoy: "1.2.3" },
  },
  rounds: {
    Go: [{ rate: 100 }, { rate: 90 }],
    Gatehouse: [
      { rate: 50, p99: 1 },
      { rate: 60, p99: 1.5 },
    ],
  },
  lines: ["Everything was audited."],
};

test("the page says of each target what was reached, the bar and the verdict", () => {
  const page = renderReport([record]);
  const at = "| [door](#the-door-hot-tokens) |";
  expect(page).toContain(`${at} ours, of theirs | ≥ 0.85 × | 0.58 (0.50 to 0.67) | **missed** |`);
  expect(page).toContain(`${at} our p99 | ≤ 2 ms | 1.25 (1.00 to 1.50) | reached |`);
  expect(page).toContain(`${at} not there | ≥ 1 calls/s | – | not measured |`);
});

test("a scenario's part says when and where it was measured, and shows what its variants show", () => {
  const page = renderReport([record], ["## More"]);
  expect(page).toContain(
    "Measured 2026-01-02 03:04 UTC with `npm run bench`: 2 rounds, 3 s for each rate. A processor, 2 cores, 4 GiB, Linux 6. Node 20.1.0, Envoy 1.2.3.",
  );
  expect(page).toContain("|  | rate (calls/s) | p99 (ms) |");
  expect(page).toContain("| Go | 95 (90 to 100) | – |");
  expect(page).toContain("![rate, calls/s](performance/door-rate.svg)");
  expect(page).toContain("Everything was audited.");
  expect(page.endsWith("## More\n")).toBe(true);
  expect([...renderPlots(record).keys()]).toEqual(["door-rate.svg"]);
});

test("a page without records is a page", () => {
  expect(renderReport([])).toContain("None measured yet.");
});
