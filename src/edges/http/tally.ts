/** What was counted under one label's values, or at the last label: how much. */
interface Branch {
  by: number;
  readonly next: Map<string, Branch>;
}

type Labels = Readonly<Record<string, string>>;

/**
 * Counts of one metric by its labels' values, kept until a scrape asks for them: the metrics' library builds a text from all
 * labels for each count, and each call is counted several times.
 */
export class Tally {
  readonly #labelNames: readonly string[];
  readonly #root: Branch = newBranch();

  constructor(labelNames: readonly string[]) {
    this.#labelNames = labelNames;
  }

  add(labels: Labels, by: number): void {
    let branch = this.#root;
    for (const name of this.#labelNames) branch = follow(branch, labels[name] ?? "");
    branch.by += by;
  }

  /** Hands over what was counted since the last time. */
  handOver(to: (labels: Labels, by: number) => void): void {
    this.#handOver(this.#root, {}, 0, to);
  }

  #handOver(branch: Branch, labels: Labels, depth: number, to: (labels: Labels, by: number) => void): void {
    const name = this.#labelNames[depth];
    if (name === undefined) {
      if (branch.by > 0) to(labels, branch.by);
      branch.by = 0;
      return;
    }
    for (const [value, next] of branch.next) this.#handOver(next, { ...labels, [name]: value }, depth + 1, to);
  }
}

const newBranch = (): Branch => ({ by: 0, next: new Map() });

function follow({ next }: Branch, value: string): Branch {
  const known = next.get(value);
  if (known !== undefined) return known;
  const branch = newBranch();
  next.set(value, branch);
  return branch;
}
