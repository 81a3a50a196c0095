import type { BenchContext } from "./context.ts";

/** What one variant showed in one round: figures by their names, in the units that the scenario names. */
export type Sample = Readonly<Record<string, number>>;

/** One of the things that are compared. */
export interface Variant {
  readonly name: string;
  /** Runs it once. @throws Error where anything failed: a figure about failing calls is worth nothing */
  measure(): Promise<Sample>;
}

export interface Figure {
  readonly name: string;
  /** "calls/s", "ms", "µs", "MB/s", "kB" … */
  readonly unit: string;
  /** Digits after the point. */
  readonly digits: number;
  /** Whether more is better. */
  readonly better: "more" | "less";
  /** Drawn as a plot of its own. Default false. */
  readonly plot?: boolean;
}

/** What must be reached. The value is the median over rounds of the quotient within a round, or of the plain figure. */
export interface Target {
  /** For people: "decision only, of the Go server's calls/s". */
  readonly text: string;
  readonly figure: string;
  readonly variant: string;
  /** The variant that it is divided by; absent: the figure itself counts. */
  readonly per?: string;
  /** Subtracted from both first ("added": the same figure of the variant without any filter). */
  readonly above?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Everything ready to be measured. */
export interface Prepared {
  readonly variants: readonly Variant[];
  /** Called after the last round: throws where the product had left something out (audit, inspection). Further lines for the report (Markdown). */
  finish?(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** One question and all that takes part in answering it, measured in turn within each round. */
export interface Scenario {
  /** For `npm run bench -- --only ID`, and the plot's file name. */
  readonly id: string;
  readonly title: string;
  /** What is measured and how, for the report (Markdown). */
  readonly about: string;
  readonly figures: readonly Figure[];
  readonly targets: readonly Target[];
  /** Counted rounds; default that of the command line (5). */
  readonly rounds?: number;
  /** Rounds that come first and are not counted, until compilers have seen the code. Default 1. */
  readonly warmUps?: number;
  /** Whether real drivers take part: the report names Spark's version. Default false. */
  readonly spark?: boolean;
  prepare(context: BenchContext): Promise<Prepared>;
}
