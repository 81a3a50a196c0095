import { isDnsLabel } from "./session-key-parse.ts";

/** What a namespace pattern's placeholders are filled with. */
export interface NamespaceValues {
  readonly team: string | undefined;
  readonly environment: string | undefined;
  readonly user: string | undefined;
}

type Placeholder = keyof NamespaceValues;
type Part = { readonly literal: string } | { readonly placeholder: Placeholder };

const PLACEHOLDER = /\{([^{}]*)\}/;
const known = (name: string): name is Placeholder => name === "team" || name === "environment" || name === "user";

/** Splits with one capture group, so literals and names alternate. A name that is unknown stays a literal with its braces. */
function parts(pattern: string): Part[] {
  return pattern
    .split(PLACEHOLDER)
    .map((text, i): Part => {
      if (i % 2 === 0) return { literal: text };
      return known(text) ? { placeholder: text } : { literal: `{${text}}` };
    })
    .filter((part) => !("literal" in part) || part.literal !== "");
}

/**
 * The namespace that a pattern such as `sjns-{team}-{environment}` yields, or the name of the placeholder whose value is
 * missing or is no DNS label. Values are never altered: a slug would let two teams end in one namespace.
 */
export function fillNamespace(
  pattern: string,
  values: NamespaceValues,
): { readonly namespace: string } | { readonly unusable: Placeholder | "length" } {
  let namespace = "";
  for (const part of parts(pattern)) {
    if ("literal" in part) {
      namespace += part.literal;
      continue;
    }
    const value = values[part.placeholder];
    if (value === undefined || !isDnsLabel(value)) return { unusable: part.placeholder };
    namespace += value;
  }
  return isDnsLabel(namespace) ? { namespace } : { unusable: "length" };
}

function environmentFaults(before: string, after: string, environments: readonly string[], first: boolean): string[] {
  const faults: string[] = [];
  for (const a of environments) {
    for (const b of environments) {
      const clash = first ? `${a}${after}`.startsWith(`${b}${after}`) : `${before}${a}`.endsWith(`${before}${b}`);
      if (a !== b && clash) faults.push(`environments "${a}" and "${b}" would let two teams share a namespace`);
    }
  }
  return faults;
}

/**
 * What is wrong with a pattern, in words; empty where nothing is. A pattern is sound where no two callers with different
 * values can get the same namespace: each placeholder occurs once, at most one of {team} and {user} occurs (`a-b` + `c`
 * would meet `a` + `b-c`), and no configured environment makes one team's namespace read as another's.
 */
export function namespacePatternFaults(pattern: string, environments: readonly string[]): string[] {
  const faults = environments.filter((e) => !isDnsLabel(e)).map((e) => `environment "${e}" is not a DNS label`);
  const list = parts(pattern);
  const names = list.flatMap((part) => ("placeholder" in part ? [part.placeholder] : []));
  if (new Set(names).size !== names.length) faults.push("a placeholder occurs twice");
  if (names.includes("team") && names.includes("user")) faults.push("only one of {team} and {user} may occur");
  const sample = list.map((part) => ("literal" in part ? part.literal : "x")).join("");
  if (!isDnsLabel(sample)) {
    faults.push("it must be a DNS label with no placeholders but {team}, {environment} and {user}");
  }
  if (faults.length > 0) return faults;
  const environment = list.findIndex((part) => "placeholder" in part && part.placeholder === "environment");
  const free = list.findIndex((part) => "placeholder" in part && part.placeholder !== "environment");
  if (environment < 0 || free < 0) return faults;
  const between = list.slice(Math.min(environment, free) + 1, Math.max(environment, free));
  const literal = between.map((part) => ("literal" in part ? part.literal : "")).join("");
  return environmentFaults(literal, literal, environments, environment < free);
}
