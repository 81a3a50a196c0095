import type { z } from "zod";
import { type ConfigFault, nearest, pathText } from "./faults.ts";
import { configSchema } from "./schema.ts";
import { nodeAt, shapeOf } from "./walk.ts";

/** What the schema has to say about a value, in words that name what was found and what to change. */
export function describeIssue(issue: z.core.$ZodIssue, tree: unknown): ConfigFault[] {
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey(issue.path, key));
  const value = valueAt(tree, issue.path);
  const path = pathText(issue.path);
  if (value === undefined) return [{ path, found: "nothing", change: missingAdvice(issue) }];
  if (issue.code === "invalid_key") {
    const why = issue.issues[0]?.message ?? "is not a name that is allowed here";
    return [{ path, found: "a name that is not allowed here", change: `the name ${why}` }];
  }
  return [{ path, found: shown(value, issue.path), change: advice(issue) }];
}

function unknownKey(path: readonly PropertyKey[], key: string): ConfigFault {
  const node = nodeAt(configSchema, path);
  const guess = node === undefined ? undefined : nearest(key, Object.keys(shapeOf(node)));
  const change = guess === undefined ? "remove it" : `did you mean ${guess}?`;
  return { path: pathText([...path, key]), found: "a key that does not exist", change };
}

function missingAdvice(issue: z.core.$ZodIssue): string {
  const doc = nodeAt(configSchema, issue.path)?.meta.description;
  return doc === undefined ? "set it" : `set it: ${doc}`;
}

function advice(issue: z.core.$ZodIssue): string {
  if (issue.code === "too_small")
    return `${issue.origin === "string" ? "write" : "use"} at least ${sized(issue.origin, issue.minimum)}`;
  if (issue.code === "too_big")
    return `${issue.origin === "string" ? "write" : "use"} at most ${sized(issue.origin, issue.maximum)}`;
  if (issue.code === "invalid_type") return `give ${article(issue.expected)}`;
  if (issue.code === "invalid_value") return `use one of: ${issue.values.map(String).join(", ")}`;
  return issue.code === "invalid_format" ? issue.message : "give a text, a number or a boolean";
}

function sized(origin: string, amount: number | bigint): string {
  if (origin === "string") return `${amount} character${amount === 1 ? "" : "s"}`;
  return origin === "array" ? `${amount} entr${amount === 1 ? "y" : "ies"}` : String(amount);
}

const typeWords: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "a text (in quotes where it looks like a number)",
  boolean: "true or false",
  array: "a list",
  object: "a section",
  record: "a section",
};

const article = (type: string): string => typeWords[type] ?? `a value of type ${type}`;

function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  let at = tree;
  for (const part of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  return at;
}

export function kindOf(value: unknown): string {
  if (value === null) return "nothing (null)";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a section" : `a ${typeof value}`;
}

/** The value itself where it is short and cannot be a secret, else its kind. */
function shown(value: unknown, path: readonly PropertyKey[]): string {
  const printable = typeof value === "number" || typeof value === "boolean" || typeof value === "string";
  if (!printable || path.includes("spark_conf")) return kindOf(value);
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${kindOf(value)} of ${text.length - 2} characters`;
}
