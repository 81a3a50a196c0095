import type { Figure, Target } from "./scenario.ts";
import type { Rounds } from "./statistics.ts";

/** The machine that a run was made on. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
}

/** When, where and with what something was measured. */
export interface RunFacts {
  /** ISO 8601, UTC, to the minute. */
  readonly at: string;
  readonly command: string;
  readonly seconds: number;
  readonly machine: Machine;
  /** "Node" → "20.20.2". */
  readonly versions: Readonly<Record<string, string>>;
}

/** Everything about one scenario's latest run that its part of the report is made from: `docs/performance/<id>.json`. */
export interface ScenarioRecord {
  readonly v: 1;
  readonly id: string;
  readonly title: string;
  readonly about: string;
  readonly figures: readonly Figure[];
  readonly targets: readonly Target[];
  /** In the scenario's order. */
  readonly variants: readonly string[];
  readonly run: RunFacts;
  readonly rounds: Rounds;
  /** Markdown. */
  readonly lines: readonly string[];
}
