import type { z } from "zod";
import { otherVariables } from "./environment.ts";
import { configSchema } from "./schema.ts";
import { elementOf, type Node, shapeOf, unwrap } from "./walk.ts";

/** One line of the reference. */
export interface KeyReference {
  /** Dotted; `<name>` stands for a map's key, `[]` for a list's entries. */
  readonly path: string;
  readonly type: string;
  readonly unit: string | undefined;
  /** As written in YAML, or where it is inherited from; undefined where there is none. */
  readonly standard: string | undefined;
  readonly required: boolean;
  readonly doc: string;
}

/** Every key of the configuration, in the schema's order, read from the schema itself. */
export function keyReference(): KeyReference[] {
  return Object.entries(configSchema.shape).flatMap(([name, key]) => rows(name, key));
}

/** Environment variables that are not keys, with what they are for. */
export function variableReference(): Readonly<Record<string, string>> {
  return otherVariables;
}

function rows(path: string, schema: z.ZodType): KeyReference[] {
  const node = unwrap(schema);
  const element = elementOf(node);
  const own = row(path, node);
  if (node.kind === "object") return [own, ...inside(path, node)];
  if (element === undefined) return [own];
  const entry = unwrap(element);
  const place = node.kind === "array" ? `${path}[]` : `${path}.<${nameOf(path)}>`;
  return entry.kind === "object" ? [own, ...inside(place, entry)] : [own];
}

function inside(path: string, node: Node): KeyReference[] {
  return Object.entries(shapeOf(node)).flatMap(([name, key]) => rows(`${path}.${name}`, key));
}

const nameOf = (path: string): string => (path.endsWith("installations") ? "version" : "name");

function row(path: string, node: Node): KeyReference {
  const { meta } = node;
  const written = node.standard === undefined ? undefined : JSON.stringify(node.standard);
  return {
    path,
    type: typeOf(node),
    unit: meta.unit,
    standard: meta.inherits ?? written,
    required: written === undefined && meta.inherits === undefined && !node.optional,
    doc: meta.description ?? "",
  };
}

interface Bounds {
  readonly minValue?: number | null;
  readonly maxValue?: number | null;
  readonly isInt?: boolean;
}

function typeOf(node: Node): string {
  if (node.kind === "number") {
    const { minValue, maxValue, isInt } = node.schema as Bounds;
    return `${isInt === true ? "integer" : "number"}, ${minValue} to ${maxValue}`;
  }
  if (node.kind === "enum") {
    const values = Object.values((node.schema.def as { entries?: Record<string, string> }).entries ?? {});
    return values.map((value) => JSON.stringify(value)).join(" or ");
  }
  if (node.kind === "literal") return "true";
  if (node.kind === "union") return "text, number or boolean";
  const element = elementOf(node);
  if (node.kind === "object") return "section";
  if (node.kind === "string") return node.meta.format ?? "text";
  if (element === undefined) return node.kind;
  return `${node.kind === "array" ? "list" : "map"} of ${plural(unwrap(element))}`;
}

function plural(node: Node): string {
  if (node.kind === "object") return "sections";
  if (node.kind === "string") return node.meta.format === undefined ? "texts" : `texts, each ${node.meta.format}`;
  return node.kind === "enum" ? typeOf(node) : "texts, numbers or booleans";
}
