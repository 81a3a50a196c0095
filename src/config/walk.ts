import type { z } from "zod";
import type { KeyMeta } from "./keys.ts";

/** A schema node without its wrappers (default, optional, readonly), with what the wrappers said. */
export interface Node {
  readonly schema: z.ZodType;
  readonly meta: Partial<KeyMeta>;
  readonly optional: boolean;
  /** Undefined where there is no default, or where it is a section's "all defaults". */
  readonly standard: unknown;
  readonly kind: string;
}

interface Internals {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly defaultValue?: unknown;
  readonly element?: z.ZodType;
  readonly keyType?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
}

const internals = (schema: z.ZodType): Internals => schema.def;

export function unwrap(schema: z.ZodType): Node {
  let meta: Partial<KeyMeta> = {};
  let optional = false;
  let standard: unknown;
  let current = schema;
  for (;;) {
    meta = { ...(current.meta() as Partial<KeyMeta> | undefined), ...meta };
    const { type, innerType, defaultValue } = internals(current);
    if (innerType === undefined) return { schema: current, meta, optional, standard, kind: type };
    if (type === "optional") optional = true;
    if (type === "default" && standard === undefined) standard = defaultValue;
    if (type === "prefault") optional = true;
    current = innerType;
  }
}

/** The keys of an object node; nothing for other kinds. */
export function shapeOf(node: Node): Readonly<Record<string, z.ZodType>> {
  return internals(node.schema).shape ?? {};
}

/** What one element of a list, or one value of a map, must be. */
export function elementOf(node: Node): z.ZodType | undefined {
  const { element, valueType } = internals(node.schema);
  return element ?? valueType;
}

/** The node that a value's path leads to, through lists and maps; undefined where the path leaves the schema. */
export function nodeAt(root: z.ZodType, path: readonly PropertyKey[]): Node | undefined {
  let node = unwrap(root);
  for (const part of path) {
    const next =
      node.kind === "object" ? Object.entries(shapeOf(node)).find(([name]) => name === part)?.[1] : elementOf(node);
    if (next === undefined) return undefined;
    node = unwrap(next);
  }
  return node;
}
