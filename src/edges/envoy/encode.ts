import protobuf from "protobufjs";
import { Secret } from "../../kernel/secret.ts";
import { protos } from "./protos.ts";

/**
 * A resource as it goes over the wire, without its type URL. Equal messages give equal bytes (maps in the order in which
 * they were built). Secrets are revealed here and nowhere before.
 * @throws Error naming the path of a field that the message does not have: a misspelt setting must not vanish
 */
export function encodeResource(typeUrl: string, message: object): Uint8Array {
  const type = typeOf(typeUrl);
  return type.encode(type.fromObject(revealed(type, message, type.name))).finish();
}

/** The reverse of {@link encodeResource}, with packed messages unpacked (`@type`), for people and tests. */
export function decodeResource(typeUrl: string, bytes: Uint8Array): Record<string, unknown> {
  const type = typeOf(typeUrl);
  return type.toObject(type.decode(bytes), { longs: Number, enums: String, bytes: String, json: true });
}

/**
 * A message in protobuf's JSON form, as Envoy reads it from a file: durations as "5s", wrappers as their values.
 * @throws Error naming the path of a field that the message does not have
 */
export function toProtoJson(typeUrl: string, message: object): Fields {
  const type = typeOf(typeUrl);
  return jsonOf(type, revealed(type, message, type.name));
}

function jsonOf(type: protobuf.Type, message: object): Fields {
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => {
      const inner = type.fields[name]?.resolvedType;
      if (!(inner instanceof protobuf.Type)) return [name, value];
      if (Array.isArray(value)) return [name, value.map((item) => jsonPart(inner, item as object))];
      if (!(type.fields[name] instanceof protobuf.MapField)) return [name, jsonPart(inner, value as object)];
      return [
        name,
        Object.fromEntries(Object.entries(value as Fields).map(([k, v]) => [k, jsonPart(inner, v as object)])),
      ];
    }),
  );
}

function jsonPart(type: protobuf.Type, value: object): unknown {
  const fields = value as Fields;
  if (type.fullName === ".google.protobuf.Duration") {
    return `${Number(fields["seconds"] ?? 0) + Number(fields["nanos"] ?? 0) / 1e9}s`;
  }
  if (/^\.google\.protobuf\.\w+Value$/.test(type.fullName)) return fields["value"];
  const packed = fields["@type"];
  return jsonOf(typeof packed === "string" ? typeOf(packed) : type, value);
}

function typeOf(typeUrl: string): protobuf.Type {
  return protos.lookupType(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
}

type Fields = Record<string, unknown>;

/** A copy with secrets as their strings, after checking that every field exists. */
function revealed(type: protobuf.Type, message: object, path: string): Fields {
  const copy: Fields = {};
  for (const [name, value] of Object.entries(message)) {
    if (value === undefined) continue;
    if (name === "@type") {
      copy[name] = value;
      continue;
    }
    const field = type.fields[name];
    if (field === undefined) throw new Error(`${path} has no field ${name}`);
    copy[name] = fieldValue(field, value, `${path}.${name}`);
  }
  return copy;
}

function fieldValue(field: protobuf.Field, value: unknown, path: string): unknown {
  if (value instanceof Secret) return value.reveal();
  if (Array.isArray(value)) return value.map((item, index) => fieldValue(field, item, `${path}[${index}]`));
  if (!(field.resolvedType instanceof protobuf.Type) || typeof value !== "object" || value === null) return value;
  if (field instanceof protobuf.MapField) {
    const type = field.resolvedType;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, part(type, item, `${path}.${key}`)]));
  }
  return part(field.resolvedType, value, path);
}

/** An embedded message; a packed one is checked against what is packed in it. */
function part(type: protobuf.Type, value: object, path: string): Fields {
  const packed: unknown = "@type" in value ? value["@type"] : undefined;
  return revealed(typeof packed === "string" ? typeOf(packed) : type, value, path);
}
