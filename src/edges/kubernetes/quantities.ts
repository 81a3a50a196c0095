const mebibytes = { b: 1 / 1_048_576, k: 1 / 1024, m: 1, g: 1024, t: 1_048_576, p: 1_073_741_824 } as const;

/**
 * A size in Spark's notation ("512m", "4g", "4gb"; without a unit MiB), in MiB, rounded up.
 * @throws Error where the text is no size
 */
export function sparkMemory(text: string): number {
  const match = /^([0-9]+)(?:([kmgtp])b?|b)?$/.exec(text.trim().toLowerCase());
  if (match === null) throw new Error(`"${text}" is not a size such as 512m or 4g`);
  const [whole, digits, unit] = match;
  const factor =
    unit === undefined ? (whole.endsWith("b") ? mebibytes.b : 1) : mebibytes[unit as keyof typeof mebibytes];
  return Math.ceil(Number(digits) * factor);
}

/** Spark's own rule for what a JVM needs beside its heap. */
const overheadFactor = 0.1;
const leastOverhead = 384;

export interface MemoryNeed {
  readonly heap: string;
  /** Beside the heap; undefined: the factor of the heap, at least 384 MiB. */
  readonly overhead: string | undefined;
  /** Default 0.1. */
  readonly factor?: string | undefined;
}

/** What a pod needs for heap and overhead, as a Kubernetes quantity in MiB, by the rule that Spark has for pods it makes. */
export function podMemory({ heap, overhead, factor }: MemoryNeed): string {
  const base = sparkMemory(heap);
  const ratio = Number(factor ?? overheadFactor);
  const rule = Math.max(Math.ceil(base * (Number.isFinite(ratio) ? ratio : overheadFactor)), leastOverhead);
  return `${base + (overhead === undefined ? rule : sparkMemory(overhead))}Mi`;
}
