import type { Sample, Target } from "./scenario.ts";

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Each variant's samples, one per counted round, in the rounds' order. */
export type Rounds = Readonly<Record<string, readonly Sample[]>>;

/** undefined where there are no values. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const [least, most] = [sorted.at(0), sorted.at(-1)];
  if (least === undefined || most === undefined) return undefined;
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? least;
  const lower = sorted[Math.ceil(middle) - 1] ?? least;
  // Equal ones are not averaged: infinities have no mean.
  return { median: lower === upper ? upper : (lower + upper) / 2, least, most };
}

/** The spread of that figure over the rounds; undefined where the variant does not show it. */
export function figureSpread(rounds: Rounds, variant: string, figure: string): Spread | undefined {
  return spreadOf((rounds[variant] ?? []).flatMap((sample) => sample[figure] ?? []));
}

export interface Outcome {
  readonly spread: Spread;
  readonly reached: boolean;
}

/**
 * The target's value over the rounds, each quotient taken within one round. Where what it is divided by came out as nothing
 * or less (an added latency can, by chance), the quotient is as far on the wrong side of the bar as can be.
 * @returns undefined where a variant was not measured in every round
 */
export function outcomeOf(target: Target, rounds: Rounds): Outcome | undefined {
  const values = (rounds[target.variant] ?? []).map((_, round) => valueIn(target, rounds, round));
  const known = values.filter((value) => value !== undefined);
  const spread = spreadOf(known);
  if (spread === undefined || known.length < values.length) return undefined;
  const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = target;
  const reached = Number.isFinite(spread.median) && spread.median >= atLeast && spread.median <= atMost;
  return { spread, reached };
}

function valueIn(target: Target, rounds: Rounds, round: number): number | undefined {
  const of = (variant: string): number | undefined => rounds[variant]?.[round]?.[target.figure];
  const base = target.above === undefined ? 0 : of(target.above);
  const own = of(target.variant);
  if (base === undefined || own === undefined) return undefined;
  if (target.per === undefined) return own - base;
  const other = of(target.per);
  if (other === undefined) return undefined;
  if (other - base > 0) return (own - base) / (other - base);
  return target.atMost === undefined ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}
