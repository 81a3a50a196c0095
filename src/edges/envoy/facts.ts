import type { Struct } from "./protos-types.ts";

/** What a decision says to those that meet the call later: the filter that inspects, the routes, the access log. */
export type Facts = Readonly<Record<string, string | boolean>>;

/**
 * Facts as ext_authz's dynamic metadata, by way of headers: name, value, name, value; see `metadataHeaders`. Headers lose spaces
 * at their ends and cannot hold every character, and a name that changes on its way would be another identity: what is not plain
 * is percent-encoded.
 * @throws URIError where one is no well-formed text
 */
export function factHeaders(facts: Facts): string[] {
  const headers: string[] = [];
  let others = "";
  for (const name in facts) {
    const text = encoded(String(facts[name]));
    if (name === "inspect" || name === "decision_id") headers.push(name, text);
    else others += `${others === "" ? "" : "&"}${name}=${text}`;
  }
  headers.push("facts", others);
  return headers;
}

/** Plain, and nothing that means something in the header: "%", "&". */
const encoded = (text: string): string => (/^[!-$'-~]*$/.test(text) ? text : encodeURIComponent(text));

/**
 * The facts in ext_authz's dynamic metadata, as they were before `factHeaders`.
 * @throws URIError where they cannot have come from there
 */
export function factsOf(metadata: Struct | undefined): Facts {
  const facts = Object.create(null) as Record<string, string | boolean>;
  const { decision_id: decisionId, facts: others, inspect } = metadata?.fields ?? {};
  for (const pair of (others?.stringValue ?? "").split("&")) {
    const at = pair.indexOf("=");
    if (at > 0) facts[pair.slice(0, at)] = decoded(pair.slice(at + 1));
  }
  if (decisionId?.stringValue !== undefined) facts["decision_id"] = decoded(decisionId.stringValue);
  const told = inspect?.stringValue;
  if (told === "true" || told === "false") facts["inspect"] = told === "true";
  return facts;
}

const decoded = (text: string): string => (text.includes("%") ? decodeURIComponent(text) : text);
