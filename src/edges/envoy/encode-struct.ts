import type { Struct, StructValue } from "./protos-types.ts";

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** Plain JSON as a `google.protobuf.Struct`; undefined members are left out. */
export function toStruct(json: { readonly [key: string]: Json | undefined }): Struct {
  const fields: Record<string, StructValue> = {};
  for (const [key, value] of Object.entries(json)) if (value !== undefined) fields[key] = toValue(value);
  return { fields };
}

/** A `google.protobuf.Struct` as plain JSON; an absent one is empty. */
export function fromStruct(struct: Struct | undefined): Record<string, Json> {
  return Object.fromEntries(Object.entries(struct?.fields ?? {}).map(([key, value]) => [key, fromValue(value)]));
}

function toValue(json: Json): StructValue {
  if (json === null) return { nullValue: 0 };
  if (typeof json === "string") return { stringValue: json };
  if (typeof json === "number") return { numberValue: json };
  if (typeof json === "boolean") return { boolValue: json };
  if (isList(json)) return { listValue: { values: json.map(toValue) } };
  return { structValue: toStruct(json) };
}

// Array.isArray does not narrow readonly arrays.
const isList = (json: Json): json is readonly Json[] => Array.isArray(json);

function fromValue(value: StructValue): Json {
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.numberValue !== undefined) return value.numberValue;
  if (value.boolValue !== undefined) return value.boolValue;
  if (value.structValue !== undefined) return fromStruct(value.structValue);
  if (value.listValue !== undefined) return value.listValue.values.map(fromValue);
  return null;
}
