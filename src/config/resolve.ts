import type { ParsedConfig } from "./schema.ts";
import { profile as profileSchema } from "./schema-sessions.ts";

type Immutable<T> = T extends readonly (infer E)[]
  ? readonly Immutable<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Immutable<T[K]> }
    : T;

type ParsedProfile = ParsedConfig["profiles"][string];
type ParsedRule = NonNullable<ParsedConfig["policy"]["creation"]>[number];

interface ResolvedProfile extends Omit<ParsedProfile, "on_demand" | "spark_conf"> {
  idle_timeout_minutes: number;
  max_ttl_hours: number;
  drain_limit_minutes: number;
  inspection: boolean;
  on_demand: Omit<ParsedConfig["on_demand"], "enabled">;
  spark_conf: Record<string, string>;
}

interface ResolvedRule extends ParsedRule {
  namespaces: string[];
}

interface Resolved extends Omit<ParsedConfig, "profiles" | "control" | "policy"> {
  control: ParsedConfig["control"] & { check: string; process: string; access_log: string; ads: string };
  policy: ParsedConfig["policy"] & { creation: ResolvedRule[] };
  profiles: Record<string, ResolvedProfile> & { default: ResolvedProfile };
}

/** The configuration as the rest of Gatehouse reads it: complete, checked, immutable; keys as in the file. */
export type Config = Immutable<Resolved>;

/** Fills in what is inherited: profiles from the top level, control addresses from the folder, rules from the pattern. */
export function resolve(parsed: ParsedConfig): Config {
  const socket = (name: string): string => `unix:${parsed.control.socket_folder.replace(/\/+$/, "")}/${name}.sock`;
  const profiles = Object.fromEntries(
    Object.entries(parsed.profiles).map(([name, profile]) => [name, resolveProfile(parsed, profile)]),
  );
  return freeze({
    ...parsed,
    control: {
      ...parsed.control,
      check: parsed.control.check ?? socket("check"),
      process: parsed.control.process ?? socket("process"),
      access_log: parsed.control.access_log ?? socket("access-log"),
      ads: parsed.control.ads ?? socket("ads"),
    },
    policy: {
      ...parsed.policy,
      creation: (parsed.policy.creation ?? [defaultRule]).map((rule) => ({
        ...rule,
        namespaces: rule.namespaces ?? [parsed.default_namespace_pattern],
      })),
    },
    profiles: { ...profiles, default: profiles["default"] ?? resolveProfile(parsed, emptyProfile) },
  });
}

const defaultRule: ParsedRule = {
  who: { any: true },
  profile: "default",
};

const emptyProfile: ParsedProfile = profileSchema.parse({});

function resolveProfile(parsed: ParsedConfig, profile: ParsedProfile): ResolvedProfile {
  const { enabled: _, ...template } = parsed.on_demand;
  const own = Object.fromEntries(Object.entries(profile.on_demand).filter(([, value]) => value !== undefined));
  return {
    ...profile,
    idle_timeout_minutes: profile.idle_timeout_minutes ?? parsed.idle_timeout_minutes,
    max_ttl_hours: profile.max_ttl_hours ?? parsed.max_ttl_hours,
    drain_limit_minutes: profile.drain_limit_minutes ?? parsed.drain_limit_minutes,
    inspection: profile.inspection ?? parsed.inspection.enabled,
    on_demand: { ...template, ...own },
    spark_conf: Object.fromEntries(Object.entries(profile.spark_conf).map(([name, value]) => [name, String(value)])),
  };
}

function freeze<T extends object>(value: T): Immutable<T> {
  for (const inner of Object.values(value)) if (typeof inner === "object" && inner !== null) freeze(inner);
  return Object.freeze(value) as Immutable<T>;
}
