import type { Struct } from "./protos-types.ts";

/** What a decision says to those that meet the call later: the filter that inspects, the routes, the access log. */
export type Facts = Readonly<Record<string, string | boolean>>;

/**
 * Facts as ext_authz's dynamic metadata, by way of headers: name, value, name, value; see `metadataHeaders`. Headers lose spaces
 * at their ends and cannot hold every character, and a name that changes on its way would be another identity: what is not plain
 * is percent-encoded.
 * @throws URIError where one is no well-formed text
 */
export function factHeaders({ inspect, decision_id: decisionId, ...facts }: Facts): string[] {
  const headers: string[] = [];
  if (inspect !== undefined) headers.push("inspect", String(inspect));
  if (decisionId !== undefined) headers.push("decision_id", encoded(String(decisionId)));
  let text = "";
  for (const name in facts) text += `${text === "" ? "" : "&"}${name}=${encoded(String(facts[name]))}`;
  headers.push("facts", text);
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
  for (const pair of (metadata?.fields["facts"]?.stringValue ?? "").split("&")) {
    const at = pair.indexOf("=");
    if (at > 0) facts[pair.slice(0, at)] = decodeURIComponent(pair.slice(at + 1));
  }
  const decisionId = metadata?.fields["decision_id"]?.stringValue;
  if (decisionId !== undefined) facts["decision_id"] = decodeURIComponent(decisionId);
  const inspect = metadata?.fields["inspect"]?.stringValue;
  if (inspect === "true" || inspect === "false") facts["inspect"] = inspect === "true";
  return facts;
}
