import type { FieldReader } from "./field-reader.ts";
import type { Struct, StructValue } from "./protos-types.ts";

/** The one namespace of metadata that is read: what ext_authz has set. */
const authzNamespace = "envoy.filters.http.ext_authz";

/**
 * Of an `envoy.config.core.v3.Metadata`, what ext_authz has set: its texts and truth values; of any other value only that it
 * is there.
 * @throws Error where that is malformed
 */
export function readMetadata(metadata: FieldReader): Record<string, Struct> {
  const found: Record<string, Struct> = {};
  while (metadata.next()) {
    if (metadata.field !== 1) continue;
    const { key, value } = entryOf(metadata.message());
    if (key === authzNamespace && value !== undefined) found[authzNamespace] = { fields: fieldsOf(value) };
  }
  return found;
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
