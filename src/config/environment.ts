import { parse } from "yaml";
import { type ConfigFault, nearest } from "./faults.ts";
import { configSchema } from "./schema.ts";
import { elementOf, type Node, shapeOf, unwrap } from "./walk.ts";

/** Variables with our prefix that are not configuration keys. */
export const otherVariables: Readonly<Record<string, string>> = {
  GATEHOUSE_CONFIG: "Path of the configuration file.",
  GATEHOUSE_CACHE: "Folder of downloaded tools (quick start and tests).",
  GATEHOUSE_QUICKSTART_PORT: "Port of the quick start's Envoy.",
  GATEHOUSE_QUICKSTART_FOLDER: "Folder of the quick start's files.",
  GATEHOUSE_BUILT: "Set to 1, the quick start and the tests run what `npm run build` made instead of the sources.",
  GATEHOUSE_URL: "Connection URL for the quick start's query.",
};

const prefix = "GATEHOUSE_";

type Tree = Record<string, unknown>;

/**
 * Puts the values of GATEHOUSE_<PATH> variables (`__` between levels, list positions as numbers) into the file's tree.
 * A value is read as YAML, which holds JSON; where the key is a text, it is taken as it stands.
 * @returns faults about variables that name no key or that cannot be read
 */
export function applyEnvironment(tree: Tree, env: Readonly<Record<string, string | undefined>>): ConfigFault[] {
  const faults: ConfigFault[] = [];
  const names = Object.keys(env).filter((name) => name.startsWith(prefix) && !Object.hasOwn(otherVariables, name));
  // A whole section comes before single keys inside it, whatever order the environment has.
  const depth = (name: string): number => name.split("__").length;
  for (const name of names.sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1))) {
    const value = env[name];
    if (value === undefined) continue;
    const target = findKey(name.slice(prefix.length).split("__"));
    if (target === undefined) faults.push(unknownVariable(name));
    else {
      const fault = assign(tree, name, target, value);
      if (fault !== undefined) faults.push(fault);
    }
  }
  return faults;
}

interface Target {
  readonly path: readonly (string | number)[];
  readonly node: Node;
}

function findKey(parts: readonly string[]): Target | undefined {
  let node = unwrap(configSchema);
  const path: (string | number)[] = [];
  for (const part of parts) {
    const name = part.toLowerCase();
    if (part === "" || part !== part.toUpperCase()) return undefined;
    if (node.kind === "object") {
      const key = Object.entries(shapeOf(node)).find(([known]) => known === name)?.[1];
      if (key === undefined) return undefined;
      path.push(name);
      node = unwrap(key);
    } else {
      const element = elementOf(node);
      if (element === undefined || (node.kind === "array" && !/^[0-9]{1,4}$/.test(part))) return undefined;
      path.push(node.kind === "array" ? Number(part) : name);
      node = unwrap(element);
    }
  }
  return { path, node };
}

function assign(tree: Tree, name: string, target: Target, text: string): ConfigFault | undefined {
  let value: unknown = text;
  if (target.node.kind !== "string" && target.node.kind !== "enum") {
    try {
      value = parse(text);
    } catch {
      return { path: name, found: "a value that is not YAML", change: "write a YAML scalar or JSON" };
    }
  }
  let at: Tree | unknown[] = tree;
  for (const [i, part] of target.path.entries()) {
    if (Array.isArray(at) && Number(part) > at.length) {
      return { path: name, found: `position ${part} of a list of ${at.length}`, change: "leave no gap in the list" };
    }
    const here = at as Record<string | number, unknown>;
    if (i === target.path.length - 1) {
      Object.defineProperty(here, part, { value, writable: true, enumerable: true, configurable: true });
      return undefined;
    }
    const existing = Object.hasOwn(here, part) ? here[part] : undefined;
    const next = existing ?? (typeof target.path[i + 1] === "number" ? [] : {});
    if (typeof next !== "object" || next === null) {
      return {
        path: name,
        found: "a single value where it needs a section",
        change: "correct the file's section first",
      };
    }
    Object.defineProperty(here, part, { value: next, writable: true, enumerable: true, configurable: true });
    at = next as Tree | unknown[];
  }
  return undefined;
}

function unknownVariable(name: string): ConfigFault {
  const guess = nearest(name, [...Object.keys(otherVariables), ...variablesOf(configSchema.shape, prefix)]);
  return {
    path: name,
    found: "a variable that names no key",
    change: guess === undefined ? "remove it (levels are joined by two underscores)" : `did you mean ${guess}?`,
  };
}

function variablesOf(shape: ReturnType<typeof shapeOf>, start: string): string[] {
  return Object.entries(shape).flatMap(([name, key]) => {
    const variable = `${start}${name.toUpperCase()}`;
    return [variable, ...variablesOf(shapeOf(unwrap(key)), `${variable}__`)];
  });
}
