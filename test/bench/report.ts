import { barPlot } from "./plots.ts";
import type { RunFacts, ScenarioRecord } from "./record.ts";
import type { Figure, Target } from "./scenario.ts";
import { figureSpread, outcomeOf, type Spread } from "./statistics.ts";

// The report, made from the scenarios' records alone: a run of some of them leaves the others' parts as they were.

const intro = `<!-- Written by \`npm run bench\`. Do not edit. -->

# Performance

What Gatehouse costs, against what it is compared with, on one machine. Everything that is on by default is on: the audit
is written before each answer, the policy is evaluated, metrics are counted, the access log is recorded.

## How to read it

- Within a scenario the variants take turns, round by round, each round in another order, so that a slow minute of the machine
  meets all of them. One more round comes first, to warm up, and is not counted. Nothing is compared across scenarios.
- Figures are the median over the rounds, with the least and the most in brackets.
- Quotients are taken within a round; their median and spread over the rounds are what a target is judged by. **Quotients
  count; absolute figures say little about another machine.** Load, Envoy, peers and drivers share its cores.
- A call that ends otherwise than it should fails the whole run.
- \`npm run bench\` measures everything anew, \`npm run bench -- --only ID,ID\` some scenarios; each says when and where its
  figures were measured. The samples of every round are in \`docs/performance/\`.
`;

/** Further parts of the page: their Markdown, without the page's title level. */
export type Extra = string;

/** The page `docs/performance.md`. */
export function renderReport(records: readonly ScenarioRecord[], extras: readonly Extra[] = []): string {
  const targets = records.flatMap((record) => record.targets.map((target) => ({ record, target })));
  const rows = targets.map(({ record, target }) => {
    const place = `[${record.id}](#${anchorOf(record.title)})`;
    return [place, ...targetCells(target, record)];
  });
  const summary = table(["scenario", "target", "bar", "measured", "result"], rows);
  return [
    intro,
    "## Targets",
    "",
    ...(rows.length === 0 ? ["None measured yet."] : summary),
    "",
    ...records.flatMap((record) => [renderScenario(record), ""]),
    ...extras.flatMap((extra) => [extra, ""]),
  ]
    .join("\n")
    .replace(/\n+$/, "\n");
}

/** One scenario's part of the page. */
export function renderScenario(record: ScenarioRecord): string {
  const { about, figures, lines, run, targets, title } = record;
  const counted = Math.max(0, ...Object.values(record.rounds).map((samples) => samples.length));
  const plots = figures.filter((figure) => figure.plot === true);
  const parts = [
    `## ${title}`,
    about.trim(),
    `Measured ${run.at} with \`${run.command}\`: ${counted} rounds, ${run.seconds} s for each rate. ${facts(run)}`,
    scenarioTable(record).join("\n"),
    ...plots.map((figure) => `![${figure.name}, ${figure.unit}](performance/${plotName(record.id, figure)})`),
  ];
  if (targets.length > 0) {
    const rows = targets.map((target) => targetCells(target, record));
    parts.push(table(["target", "bar", "measured", "result"], rows).join("\n"));
  }
  if (lines.length > 0) parts.push(lines.join("\n\n"));
  return `${parts.join("\n\n")}\n`;
}

/** Variants by figures. */
export function scenarioTable({ figures, rounds, variants }: ScenarioRecord): readonly string[] {
  const shown = figures.filter(({ name }) => variants.some((variant) => figureSpread(rounds, variant, name)));
  const rows = variants.map((variant) => [
    variant,
    ...shown.map(({ name, digits }) => spreadText(figureSpread(rounds, variant, name), digits)),
  ]);
  return table(["", ...shown.map(({ name, unit }) => `${name} (${unit})`)], rows);
}

/** The scenario's plots: file name → SVG. */
export function renderPlots(record: ScenarioRecord): ReadonlyMap<string, string> {
  const plots = record.figures.filter((figure) => figure.plot === true);
  return new Map(
    plots.map((figure) => {
      const bars = record.variants.flatMap((label) => {
        const spread = figureSpread(record.rounds, label, figure.name);
        return spread === undefined ? [] : [{ label, spread, own: label.startsWith("Gatehouse") }];
      });
      const { better, digits, name, unit } = figure;
      return [plotName(record.id, figure), barPlot({ title: name, unit, digits, better, bars })];
    }),
  );
}

/** What is to be reached, the bar, what was, and the verdict. */
export function targetCells(target: Target, { figures, rounds }: Pick<ScenarioRecord, "figures" | "rounds">): string[] {
  const figure = figures.find(({ name }) => name === target.figure);
  const [digits, unit] = target.per === undefined ? [figure?.digits ?? 2, ` ${figure?.unit ?? ""}`] : [2, " ×"];
  const bars = [
    ...(target.atLeast === undefined ? [] : [`≥ ${target.atLeast}${unit}`]),
    ...(target.atMost === undefined ? [] : [`≤ ${target.atMost}${unit}`]),
  ];
  const outcome = outcomeOf(target, rounds);
  const verdict = outcome === undefined ? "not measured" : outcome.reached ? "reached" : "**missed**";
  return [target.text, bars.join(", "), spreadText(outcome?.spread, digits), verdict];
}

const number = (value: number, digits: number): string =>
  Number.isFinite(value) ? value.toFixed(digits) : value > 0 ? "∞" : "−∞";

const spreadText = (spread: Spread | undefined, digits: number): string =>
  spread === undefined
    ? "–"
    : `${number(spread.median, digits)} (${number(spread.least, digits)} to ${number(spread.most, digits)})`;

function facts({ machine, versions }: RunFacts): string {
  const { cores, kernel, memoryGiB, processor } = machine;
  const used = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${processor}, ${cores} cores, ${memoryGiB} GiB, ${kernel}. ${used.join(", ")}.`;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `| ${head.map(() => "---").join(" | ")} |`, ...rows.map(line)];
}

const plotName = (id: string, { name }: Figure): string => `${id}-${anchorOf(name)}.svg`;

/** As the renderers of Markdown name a heading. */
const anchorOf = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
