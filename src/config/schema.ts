import { z } from "zod";
import { documented, text } from "./keys.ts";
import { control, http, listen, tls, xds } from "./schema-door.ts";
import { identity, policy } from "./schema-identity.ts";
import { audit, log, runtime, shutdown } from "./schema-runtime.ts";
import { activity, hold, inspection, lifetimes, onDemand, profile } from "./schema-sessions.ts";

/**
 * The one schema of the configuration: every key with type, bounds, unit, default and documentation. What is read from
 * it: validation (`load.ts`), the types, and the reference (`reference.ts`).
 */
export const configSchema = z.strictObject({
  cluster: documented(text("label").default("local"), "Name of the cluster that this Gatehouse's drivers run in."),
  ...lifetimes,
  default_namespace_pattern: documented(
    text("namespaces").default("sjns-{team}-{environment}"),
    "The namespaces that belong to a team: `{team}` stands for the caller's team, `{environment}` for one of policy.environments.",
  ),
  on_demand: onDemand,
  listen,
  tls,
  control,
  http,
  identity,
  policy,
  profiles: documented(
    z.record(text("label"), profile).default({}),
    "Kinds of drivers. There is always one named `default`; each inherits the top-level values that it does not set.",
  ),
  hold,
  inspection,
  activity,
  xds,
  audit,
  log,
  runtime,
  shutdown,
});

/** The file's values with defaults, before profiles, addresses and rules have inherited theirs. */
export type ParsedConfig = z.output<typeof configSchema>;
