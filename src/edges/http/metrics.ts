import { Counter, type CounterConfiguration, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { type MetricName, type Metrics, metricSpecs } from "../../kernel/metrics.ts";
import { Tally } from "./tally.ts";

/** Measurements with what a scrape needs. */
export interface ScrapedMetrics extends Metrics {
  readonly contentType: string;
  /** All metrics in the Prometheus text format. */
  text(): Promise<string>;
}

/** The metrics of `src/kernel/metrics.ts` and prom-client's own of the process, in a registry of their own. */
export function createMetrics(): ScrapedMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const tallies = new Map<MetricName, Tally>();
  const gauges = new Map<MetricName, Gauge>();
  const histograms = new Map<MetricName, Histogram>();
  for (const [key, spec] of Object.entries(metricSpecs)) {
    const name = key as MetricName;
    const common = { name, help: spec.help, labelNames: [...spec.labels], registers: [registry] };
    if (spec.type === "counter") tallies.set(name, counted(common));
    else if (spec.type === "gauge") gauges.set(name, new Gauge(common));
    else histograms.set(name, new Histogram({ ...common, buckets: [...spec.buckets] }));
  }
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    count: (name, labels, by = 1) => found(tallies, name).add(labels, by),
    set: (name, labels, value) => found(gauges, name).set(labels, value),
    observe: (name, labels, value) => found(histograms, name).observe(labels, value),
  };
}

function counted(common: CounterConfiguration<string>): Tally {
  const tally = new Tally(common.labelNames ?? []);
  const counter = new Counter({ ...common, collect: () => tally.handOver((labels, by) => counter.inc(labels, by)) });
  return tally;
}

function found<T>(all: ReadonlyMap<MetricName, T>, name: MetricName): T {
  const metric = all.get(name);
  if (metric === undefined) throw new TypeError(`${name} is not measured that way`);
  return metric;
}
