import { z } from "zod";

/** What every key says about itself beside its type; the reference is generated from it. */
export interface KeyMeta {
  readonly description: string;
  readonly unit?: string;
  /** Where the value comes from when it is not given, in words for the reference. */
  readonly inherits?: string;
  /** What a text must look like. */
  readonly format?: string;
}

interface NumberKey {
  readonly unit: string;
  readonly min: number;
  readonly max: number;
}

const meta = <S extends z.ZodType>(schema: S, value: KeyMeta): S => schema.meta({ ...value });

const bounded = (key: NumberKey, whole: boolean) => (whole ? z.int() : z.number()).min(key.min).max(key.max);

const patterns = {
  label: /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/,
  memory: /^[1-9][0-9]*[kmgt]$/,
  address: /^(unix:[^\s]{1,107}|(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5})$/,
  url: /^https?:\/\/[^\s?#]+$/,
  version: /^[0-9]+\.[0-9]+\.[0-9]+$/,
  owner: /^.+@[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/,
  host: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  ip: /^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$/,
  cidr: /^127(\.[0-9]{1,3}){3}\/([89]|[12][0-9])$/,
  namespaces: /^[-a-z0-9{}*]+$/,
} as const;

const formatWords: Record<keyof typeof patterns, string> = {
  label: "a DNS label (lower-case letters, digits and inner hyphens, at most 63)",
  memory: "a size such as 512m or 4g",
  address: "unix:<path> (at most 107 characters) or <host>:<port>",
  url: "a URL without query or fragment",
  version: "a full version such as 4.1.0",
  owner: "<subject>@<issuer name>",
  host: "a lower-case host name",
  ip: "an IP address",
  cidr: "an IPv4 range inside 127.0.0.0/8 with a prefix of 8 to 29, such as 127.77.0.0/16",
  namespaces: "a namespace name, a pattern with {team}, {environment} or {user}, or one with *",
};

type TextFormat = keyof typeof patterns;

/** A string, of a named format where one is given; the format's words appear in faults and in the reference. */
export function text(format?: TextFormat) {
  const base = z.string().min(1).max(4096);
  return format === undefined
    ? base
    : base.regex(patterns[format], `must be ${formatWords[format]}`).meta({ format: formatWords[format] });
}

/** A number key: bounds always, a unit always. Times may be fractional, counts and sizes may not. */
export function amount(standard: number, key: NumberKey, doc: string) {
  return meta(bounded(key, false).default(standard), { description: doc, unit: key.unit });
}

/** A whole-number key. */
export function count(standard: number, key: NumberKey, doc: string) {
  return meta(bounded(key, true).default(standard), { description: doc, unit: key.unit });
}

/** Any schema with its documentation: the last call on a key, outside its default. */
export function documented<S extends z.ZodType>(
  schema: S,
  doc: string,
  more: Pick<KeyMeta, "unit" | "inherits"> = {},
): S {
  return meta(schema, { ...more, description: doc });
}

/** A section whose keys all have defaults, so that it may be left out. */
export function section<S extends z.ZodRawShape>(shape: S, doc: string) {
  return documented(z.strictObject(shape).prefault({} as never), doc);
}
