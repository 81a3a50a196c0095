import type { BenchContext } from "./context.ts";
import type { RunFacts, ScenarioRecord } from "./record.ts";
import type { Prepared, Sample, Scenario } from "./scenario.ts";

export interface RoundsOptions {
  readonly context: BenchContext;
  readonly run: RunFacts;
  readonly progress: (line: string) => void;
  /** Ends the run after the measurement that is under way. */
  readonly signal: AbortSignal;
}

/**
 * Measures one scenario: one or more rounds that warm up and are not counted, then the counted ones, the variants in turn and in
 * another order in each.
 * @throws Error where a measurement failed or the product had left something out, after everything was ended
 */
export async function measureScenario(scenario: Scenario, options: RoundsOptions): Promise<ScenarioRecord> {
  const { context, progress, run } = options;
  progress(`${scenario.id}: preparing`);
  const prepared = await scenario.prepare(context);
  try {
    const rounds = await measureRounds(scenario, prepared, options);
    const lines = (await prepared.finish?.()) ?? [];
    const { about, figures, id, targets, title } = scenario;
    const variants = prepared.variants.map(({ name }) => name);
    const spark = scenario.spark === true ? { Spark: context.tools.sparkVersion } : {};
    const facts = { ...run, versions: { ...run.versions, ...spark } };
    return { v: 1, id, title, about, figures, targets, variants, run: facts, rounds, lines };
  } finally {
    await prepared.close();
  }
}

async function measureRounds(
  { id, figures, rounds = Number.POSITIVE_INFINITY, warmUps = 1 }: Scenario,
  { variants }: Prepared,
  { context, progress, signal }: RoundsOptions,
): Promise<Record<string, Sample[]>> {
  const samples: Record<string, Sample[]> = Object.fromEntries(variants.map(({ name }) => [name, []]));
  const counted = Math.min(context.rounds, rounds);
  for (let round = 1 - warmUps; round <= counted; round += 1) {
    for (const variant of rotated(variants, round + warmUps)) {
      signal.throwIfAborted();
      const sample = await variant.measure().catch((cause: unknown) => {
        throw new Error(`${id}, ${variant.name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
      });
      const shown = figures.filter(({ name }) => sample[name] !== undefined);
      const text = shown.map(({ name, unit, digits }) => `${sample[name]?.toFixed(digits)} ${unit}`).join(", ");
      progress(`${id}: ${round < 1 ? "warm-up" : `round ${round} of ${counted}`}: ${variant.name}: ${text}`);
      if (round > 0) samples[variant.name]?.push(sample);
    }
  }
  return samples;
}

/** The same things, another one first each time. */
function rotated<T>(list: readonly T[], by: number): readonly T[] {
  const start = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}
