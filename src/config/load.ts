import { parseDocument } from "yaml";
import type { z } from "zod";
import { crossChecks } from "./cross-checks.ts";
import { describeIssue, kindOf } from "./describe-issue.ts";
import { applyEnvironment } from "./environment.ts";
import { ConfigError, type ConfigFault, pathText } from "./faults.ts";
import { type Config, resolve } from "./resolve.ts";
import { configSchema } from "./schema.ts";

export interface ConfigSources {
  /** The YAML file's text; without it, defaults and the environment alone. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads, checks and completes the configuration. It looks at nothing but its arguments: files that keys name are opened
 * by those who use them.
 * @throws ConfigError with all faults together
 */
export function loadConfig(sources: ConfigSources): Config {
  const faults: ConfigFault[] = [];
  const tree = readFile(sources.file ?? "", faults);
  // What a broken file leaves out is not missing: nothing more can be said about it.
  if (faults.length > 0) throw new ConfigError(faults);
  faults.push(...applyEnvironment(tree, sources.env));
  const result = configSchema.safeParse(tree);
  if (result.success) {
    const config = resolve(result.data);
    faults.push(...crossChecks(config));
    if (faults.length === 0) return config;
  } else {
    const own = result.error.issues.flatMap((issue) => describeIssue(issue, tree));
    faults.push(...own, ...checksWithout(tree, result.error.issues));
  }
  throw new ConfigError(faults);
}

function readFile(text: string, faults: ConfigFault[]): Record<string, unknown> {
  const document = parseDocument(text, { uniqueKeys: true });
  for (const error of document.errors) {
    const line = error.linePos?.[0].line;
    faults.push({
      path: line === undefined ? "(the whole file)" : `(line ${line})`,
      found: error.message.split("\n")[0] ?? "an error",
      change: "correct the YAML",
    });
  }
  if (document.errors.length > 0) return {};
  const value: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  faults.push({ path: "(the whole file)", found: kindOf(value), change: "write keys and values" });
  return {};
}

/**
 * The faults between keys that hold whatever the faulty keys become: the faulty values are taken out, and what is
 * left is checked with defaults in their place. Faults about the removed keys themselves are left out.
 */
function checksWithout(tree: Record<string, unknown>, issues: readonly z.core.$ZodIssue[]): ConfigFault[] {
  const rest = structuredClone(tree);
  const removed = issues.flatMap((issue) =>
    issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...issue.path, key]) : [issue.path],
  );
  // From the back, so that positions in lists stay true.
  for (const path of [...removed].sort((a, b) => comparePaths(b, a))) remove(rest, path);
  let result = configSchema.safeParse(rest);
  if (!result.success) {
    // No other key depends on the certificate, so its absence need not hide faults elsewhere.
    result = configSchema.safeParse({ ...rest, tls: { certificate_file: "absent", private_key_file: "absent" } });
  }
  if (!result.success) return [];
  const gone = removed.map(pathText);
  return crossChecks(resolve(result.data)).filter(({ path }) => !gone.some((start) => path.startsWith(start)));
}

function comparePaths(a: readonly PropertyKey[], b: readonly PropertyKey[]): number {
  for (const [i, part] of a.entries()) {
    const other = b[i];
    if (part === other) continue;
    if (typeof part === "number" && typeof other === "number") return part - other;
    return String(part) < String(other) ? -1 : 1;
  }
  return a.length - b.length;
}

function remove(tree: unknown, path: readonly PropertyKey[]): void {
  let at = tree;
  for (const part of path.slice(0, -1)) {
    if (typeof at !== "object" || at === null) return;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  const last = path.at(-1);
  if (last === undefined || typeof at !== "object" || at === null) return;
  if (Array.isArray(at)) at.splice(Number(last), 1);
  else delete (at as Record<PropertyKey, unknown>)[last];
}
