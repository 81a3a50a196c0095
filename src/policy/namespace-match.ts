import { fillNamespace, type NamespaceValues } from "../sessions/namespace-pattern.ts";
import { isDnsLabel } from "../sessions/session-key-parse.ts";

/** What is wrong with an exact namespace or a glob, in words. */
export function namespaceMatcherFaults(matcher: string): string[] {
  if (matcher.split("*").length > 2) return ["at most one * may occur"];
  if (matcher === "*") return [];
  return isDnsLabel(matcher.replace("*", "x")) ? [] : ["it must be a DNS label, with at most one * in it"];
}

/**
 * Whether a creation rule's namespace entry covers that namespace, for a caller with those values in one of those
 * environments. In a glob, `*` stands for any characters of a label, also none. Linear in the lengths: the configuration
 * never becomes a regular expression.
 */
export function namespaceMatches(
  matcher: string,
  namespace: string,
  values: Pick<NamespaceValues, "team" | "user">,
  environments: readonly string[],
): boolean {
  if (matcher.includes("{")) {
    const tries = matcher.includes("{environment}") ? environments : [undefined];
    return tries.some((environment) => {
      const filled = fillNamespace(matcher, { ...values, environment });
      return "namespace" in filled && filled.namespace === namespace;
    });
  }
  const star = matcher.indexOf("*");
  if (star < 0) return matcher === namespace;
  const prefix = matcher.slice(0, star);
  const suffix = matcher.slice(star + 1);
  return (
    isDnsLabel(namespace) &&
    namespace.length >= prefix.length + suffix.length &&
    namespace.startsWith(prefix) &&
    namespace.endsWith(suffix)
  );
}
