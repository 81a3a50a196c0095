import { toStruct } from "../../src/edges/envoy/encode-struct.ts";
import { type Facts, factHeaders, factsOf } from "../../src/edges/envoy/facts.ts";
import type { Struct } from "../../src/edges/envoy/protos-types.ts";
import { metadataHeaders } from "../../src/snapshots/check-headers.ts";

/** What Envoy makes of an answer's headers in ext_authz's dynamic metadata. */
export function metadataOf(headers: ReadonlyMap<string, string>): Struct {
  return toStruct(Object.fromEntries([...headers].filter(([name]) => metadataHeaders.some((one) => one === name))));
}

/** Those facts as Envoy hands them on. */
export function factStruct(facts: Facts): Struct {
  const headers = factHeaders(facts);
  return metadataOf(new Map(headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1] ?? ""]] : []))));
}

/** The facts that an answer's headers become. */
export const factsIn = (headers: ReadonlyMap<string, string>): Facts => factsOf(metadataOf(headers));
