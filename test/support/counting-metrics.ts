import type { Metrics } from "../../src/kernel/metrics.ts";

export interface CountingMetrics extends Metrics {
  /** The sum of a counter, or a gauge's value, over all its labels that include `labels`. */
  value(name: string, labels?: Readonly<Record<string, string>>): number;
}

/** Metrics that a test can read back. Observations are counted. */
export function countingMetrics(): CountingMetrics {
  const samples = new Map<string, { name: string; labels: Readonly<Record<string, string>>; value: number }>();
  const sample = (name: string, labels: Readonly<Record<string, string>>) => {
    const key = name + JSON.stringify(labels);
    const found = samples.get(key) ?? { name, labels, value: 0 };
    samples.set(key, found);
    return found;
  };
  return {
    count(name, labels, by = 1) {
      sample(name, labels).value += by;
    },
    set(name, labels, value) {
      sample(name, labels).value = value;
    },
    observe(name, labels) {
      sample(name, labels).value += 1;
    },
    value: (name, labels = {}) =>
      [...samples.values()]
        .filter((each) => each.name === name && Object.entries(labels).every(([k, v]) => each.labels[k] === v))
        .reduce((sum, each) => sum + each.value, 0),
  };
}
