import type { Spread } from "./statistics.ts";

export interface Bar {
  readonly label: string;
  readonly spread: Spread;
  /** Ours: drawn in colour, the peers in grey. */
  readonly own: boolean;
}

export interface Plot {
  readonly title: string;
  readonly unit: string;
  readonly digits: number;
  /** "more" or "less". */
  readonly better: string;
  readonly bars: readonly Bar[];
}

const barsWidth = 420;
const valueWidth = 90;
/** Wide enough for a letter of a label, on average. */
const letterWidth = 6.8;
const rowHeight = 30;
const barHeight = 16;
const top = 48;
const font = "font-family: system-ui, -apple-system, 'Segoe UI', sans-serif";

// No background of its own: every colour is readable on white and on near-black, and sharper where the theme is known.
const style = `text { ${font}; fill: #6e7681 } .title { font-size: 15px; font-weight: 600 } .note, .label, .value { font-size: 12px }
    .peer { fill: #8b949e } .own { fill: #3b82f6 } .whisker { stroke: #c2410c; stroke-width: 1.5 } .axis { stroke: #8b949e }
    @media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } } @media (prefers-color-scheme: light) { text { fill: #24292f } }`;

/**
 * A bar for each median, from nothing on, with whiskers from the least to the most of the rounds. A well-formed SVG document
 * that also says everything in words.
 */
export function barPlot(plot: Plot): string {
  const height = top + plot.bars.length * rowHeight + 14;
  const most = Math.max(0, ...plot.bars.map(({ spread }) => spread.most));
  const scale = most === 0 ? 0 : barsWidth / most;
  const labelWidth = Math.round(Math.max(100, ...plot.bars.map(({ label }) => label.length * letterWidth + 16)));
  const width = labelWidth + barsWidth + valueWidth;
  const title = escape(`${plot.title} (${plot.unit})`);
  const rows = plot.bars.map((bar, index) =>
    row(bar, { left: labelWidth, y: top + index * rowHeight, scale, digits: plot.digits }),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description">
  <title id="title">${title}</title>
  <desc id="description">${escape(inWords(plot))}</desc>
  <style>
    ${style}
  </style>
  <text class="title" x="8" y="20">${title}</text>
  <text class="note" x="8" y="37">${plot.better === "more" ? "Longer is better" : "Shorter is better"}. Bar: median of the rounds; whisker: least to most.</text>
  <line class="axis" x1="${labelWidth}" y1="${top - 4}" x2="${labelWidth}" y2="${height - 8}" />
${rows.join("\n")}
</svg>
`;
}

interface Place {
  /** Where bars begin. */
  readonly left: number;
  readonly y: number;
  /** px per unit */
  readonly scale: number;
  readonly digits: number;
}

function row({ label, spread, own }: Bar, { left, y, scale, digits }: Place): string {
  const at = (value: number): string => (left + Math.max(0, value) * scale).toFixed(1);
  const [middle, least, most] = [y + rowHeight / 2, at(spread.least), at(spread.most)];
  const textY = middle + 4;
  const parts = [
    `<text class="label" x="${left - 8}" y="${textY}" text-anchor="end">${escape(label)}</text>`,
    `<rect class="${own ? "own" : "peer"}" x="${left}" y="${middle - barHeight / 2}" width="${(Math.max(0, spread.median) * scale).toFixed(1)}" height="${barHeight}" rx="2" />`,
    `<path class="whisker" fill="none" d="M${least} ${middle - 4}v8M${least} ${middle}H${most}M${most} ${middle - 4}v8" />`,
    `<text class="value" x="${(Number(most) + 8).toFixed(1)}" y="${textY}">${spread.median.toFixed(digits)}</text>`,
  ];
  return parts.map((part) => `  ${part}`).join("\n");
}

function inWords({ bars, digits, unit }: Plot): string {
  const words = bars.map(({ label, spread: { median, least, most } }) => {
    const [m, l, h] = [median, least, most].map((value) => value.toFixed(digits));
    return `${label}: ${m} ${unit} (${l} to ${h})`;
  });
  return `${words.join("; ")}.`;
}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
