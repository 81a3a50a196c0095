import type { FieldReader } from "./field-reader.ts";
import type { Struct, StructValue } from "./protos-types.ts";

/** What is read: what ext_authz has set, what we have set by way of ext_proc, and ext_proc's attributes. */
const namespaces: ReadonlySet<string> = new Set([
  "envoy.filters.http.ext_authz",
  "gatehouse",
  "envoy.filters.http.ext_proc",
]);

/**
 * Of an `envoy.config.core.v3.Metadata`, our namespaces: their texts and truth values; of any other value only that it is
 * there.
 * @throws Error where they are malformed
 */
export function readMetadata(metadata: FieldReader): Record<string, Struct> {
  const found: Record<string, Struct> = {};
  while (metadata.next()) if (metadata.field === 1) addStruct(found, metadata.message());
  return found;
}

/** Reads an entry of a map of names to structures, where it is one of ours. @throws Error where it is malformed */
export function addStruct(into: Record<string, Struct>, entry: FieldReader): void {
  const { key, value } = entryOf(entry);
  if (namespaces.has(key) && value !== undefined) into[key] = { fields: fieldsOf(value) };
}

/** An entry of a map to messages. */
function entryOf(entry: FieldReader): { readonly key: string; readonly value: FieldReader | undefined } {
  let key = "";
  let value: FieldReader | undefined;
  while (entry.next()) {
    if (entry.field === 1) key = entry.text();
    else if (entry.field === 2) value = entry.message();
  }
  return { key, value };
}

function fieldsOf(struct: FieldReader): Record<string, StructValue> {
  const fields = Object.create(null) as Record<string, StructValue>;
  while (struct.next()) {
    if (struct.field !== 1) continue;
    const { key, value } = entryOf(struct.message());
    fields[key] = value === undefined ? {} : valueOf(value);
  }
  return fields;
}

/** A text or a truth value; of any other value only that it is there. */
function valueOf(reader: FieldReader): StructValue {
  let value: StructValue = {};
  while (reader.next()) {
    if (reader.field === 3) value = { stringValue: reader.text() };
    else if (reader.field === 4) value = { boolValue: reader.truth() };
    else value = {};
  }
  return value;
}
