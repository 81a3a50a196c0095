/** One thing that is wrong with the configuration. */
export interface ConfigFault {
  /** Dotted path of the key, or the name of the environment variable. */
  readonly path: string;
  /** What was found there, in words; never a value that could be a secret. */
  readonly found: string;
  /** What to change. */
  readonly change: string;
}

/** Everything that is wrong with the configuration, at once. */
export class ConfigError extends Error {
  readonly faults: readonly ConfigFault[];

  constructor(faults: readonly ConfigFault[]) {
    const lines = faults.map((fault) => `  ${fault.path}: found ${fault.found}; ${fault.change}`);
    super(`the configuration has ${faults.length} fault${faults.length === 1 ? "" : "s"}:\n${lines.join("\n")}`);
    this.name = "ConfigError";
    this.faults = faults;
  }
}

/** `identity.issuers[0].name`, `profiles.batch`, `runtime.local.installations["4.1.0"]`. */
export function pathText(path: readonly PropertyKey[]): string {
  let written = "";
  for (const part of path) {
    if (typeof part === "number") written += `[${part}]`;
    else if (/^[A-Za-z_][-\w]*$/.test(String(part))) written += written === "" ? String(part) : `.${String(part)}`;
    else written += `[${JSON.stringify(String(part))}]`;
  }
  return written === "" ? "(the whole file)" : written;
}

/** The known name that was probably meant: at most a third of its letters differ. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = editDistance(name.slice(0, 200), candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best !== undefined && least <= Math.max(1, Math.floor(best.length / 3)) ? best : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
