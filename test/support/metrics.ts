/** Samples of one scrape. */
export interface Scrape {
  /** The sum of the samples of that name whose labels include `labels`; 0 where there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): number;
  readonly names: ReadonlySet<string>;
}

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads the Prometheus text format, as far as prom-client and Envoy write it. */
export function parseMetrics(text: string): Scrape {
  const samples = text.split("\n").flatMap((line): Sample[] => {
    const parts = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (parts === null) return [];
    const labels = [...(parts[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((m) => [m[1] ?? "", m[2] ?? ""]);
    return [{ name: parts[1] ?? "", labels: Object.fromEntries(labels), value: Number(parts[3]) }];
  });
  return {
    names: new Set(samples.map(({ name }) => name)),
    value: (name, wanted = {}) =>
      samples
        .filter((each) => each.name === name && Object.entries(wanted).every(([key, v]) => each.labels[key] === v))
        .reduce((sum, each) => sum + each.value, 0),
  };
}
