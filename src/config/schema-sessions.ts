import { z } from "zod";
import { amount, count, documented, section, text } from "./keys.ts";
import { profileKubernetes } from "./schema-kubernetes.ts";

/** Keys about sessions and their drivers: lifetimes, profiles, holding, inspection, activity. */

const minutes = { unit: "minutes", min: 0.001, max: 10_080 } as const;
const hours = { unit: "hours", min: 0.0001, max: 720 } as const;

/** Keys that a profile may set for itself; it inherits the top-level value of each that it leaves out. */
export const lifetimes = {
  idle_timeout_minutes: amount(30, minutes, "A driver that nobody used for so long is stopped."),
  max_ttl_hours: amount(4, hours, "A driver that is so old takes no new work and is stopped, busy or not."),
  drain_limit_minutes: amount(
    10,
    minutes,
    "How long a driver past its maximum lifetime may finish what runs before it is stopped.",
  ),
} as const;

const template = {
  spark_version: [text("version"), "4.1.0", "Spark version of the driver."],
  image: [text(), "apache/spark:4.1.0-python3", "Container image of the driver; the local runtime does not use it."],
  driver_cores: [z.int().min(1).max(1024), 2, "Cores of the driver.", "cores"],
  driver_memory: [text("memory"), "4g", "Memory of the driver's Java heap."],
  executor_instances: [
    z.int().min(0).max(100_000),
    2,
    "Executors of the driver; the local runtime has none, tasks run in the driver.",
    "executors",
  ],
  executor_cores: [z.int().min(1).max(1024), 2, "Cores of one executor; the local runtime has none.", "cores"],
  executor_memory: [text("memory"), "4g", "Memory of one executor's Java heap; the local runtime has none."],
} as const;

type Template = typeof template;
type TemplateKeys = { [K in keyof Template]: z.ZodDefault<Template[K][0]> };
type TemplateOverrides = { [K in keyof Template]: z.ZodOptional<Template[K][0]> };

const unitOf = (entry: readonly unknown[]): { unit?: string } =>
  typeof entry[3] === "string" ? { unit: entry[3] } : {};

const templateKeys = Object.fromEntries(
  Object.entries(template).map(([name, entry]) => [
    name,
    documented((entry[0] as z.ZodType).default(entry[1]), entry[2], unitOf(entry)),
  ]),
) as TemplateKeys;

const templateOverrides = Object.fromEntries(
  Object.entries(template).map(([name, entry]) => [
    name,
    documented(entry[0].optional(), entry[2], { ...unitOf(entry), inherits: `on_demand.${name}` }),
  ]),
) as TemplateOverrides;

export const onDemand = section(
  {
    enabled: documented(
      z.boolean().default(true),
      "Whether a first request starts a driver where a creation rule allows it.",
    ),
    ...templateKeys,
  },
  "Starting drivers on demand, and what they are made of.",
);

const inherited = (name: keyof typeof lifetimes) =>
  documented(lifetimes[name].unwrap().optional(), lifetimes[name].meta()?.description ?? "", {
    ...(name === "max_ttl_hours" ? { unit: hours.unit } : { unit: minutes.unit }),
    inherits: name,
  });

export const profile = z.strictObject({
  idle_timeout_minutes: inherited("idle_timeout_minutes"),
  max_ttl_hours: inherited("max_ttl_hours"),
  drain_limit_minutes: inherited("drain_limit_minutes"),
  inspection: documented(
    z.boolean().optional(),
    "Whether request messages are inspected and stamped with the verified identity. " +
      "May be false only where a driver has one owner (no shared_with_groups).",
    { inherits: "inspection.enabled" },
  ),
  allow_tokenless: documented(
    z.boolean().default(false),
    "Whether drivers may run without a token of their own (Spark 3.5 has none). Only the network protects such a driver.",
  ),
  mutually_trusting: documented(
    z.boolean().default(false),
    "States that the users of one driver trust each other: what runs on a driver can act as any of them. " +
      "Needed for shared_with_groups.",
  ),
  shared_with_groups: documented(
    z.array(text()).max(1000).default([]),
    "Groups whose members may use the drivers of this profile besides their owners.",
  ),
  on_demand: section(templateOverrides, "What drivers of this profile are made of, where it differs."),
  kubernetes: profileKubernetes,
  spark_conf: documented(
    z.record(text(), z.union([z.string(), z.number(), z.boolean()])).default({}),
    "More Spark settings for the drivers. Gatehouse's own (`spark.connect.grpc.binding.*`, the token) cannot be set; nor, on " +
      "Kubernetes, what says where a driver is, whose it is, and of which image and account: it is left out. " +
      "Settings are visible to the driver's users: put no secrets here.",
  ),
});

export const hold = section(
  {
    limit_seconds: amount(
      120,
      { unit: "seconds", min: 0, max: 3600 },
      "How long a call waits for its driver before it is answered UNAVAILABLE with RetryInfo.",
    ),
    max_per_user: count(8, { unit: "calls", min: 1, max: 100_000 }, "Calls of one user that wait at once."),
    max_total: count(
      512,
      { unit: "calls", min: 1, max: 500_000 },
      "Calls of all users that wait at once; at most half of control.max_requests.",
    ),
    failure_memory_seconds: amount(
      30,
      { unit: "seconds", min: 0, max: 3600 },
      "How long the cause of a failed start is answered at once before another start is tried.",
    ),
  },
  "Holding calls while their driver starts.",
);

export const inspection = section(
  {
    enabled: documented(z.boolean().default(true), "Whether request messages are inspected; profiles may differ."),
    mode: documented(
      z.enum(["separate", "fused"]).default("separate"),
      "How Envoy asks about a call. `separate`: ext_authz asks for the decision, ext_proc has the messages inspected. " +
        "`fused`: ext_proc alone asks, on one stream for each call, which costs less; a call that is not to be inspected " +
        "then goes through Gatehouse all the same, and calls that are held count among `inspection.max_streams`.",
    ),
    max_message_bytes: count(
      134_217_728,
      { unit: "bytes", min: 1024, max: 2_147_483_647 },
      "Larger request messages are refused. Messages are streamed, not collected.",
    ),
    max_streams: count(
      10_000,
      { unit: "streams", min: 1, max: 1_000_000 },
      "Calls inspected at once; more are refused.",
    ),
  },
  "Inspecting request messages.",
);

export const activity = section(
  {
    access_log_interval_seconds: amount(
      30,
      { unit: "seconds", min: 0.1, max: 3600 },
      "How often Envoy reports each stream that is alive. Two intervals without a report end the stream for us.",
    ),
    detached_grace_minutes: amount(
      5,
      { unit: "minutes", min: 0, max: 1440 },
      "How long after the last attach a detached operation keeps its driver busy.",
    ),
    reap_interval_seconds: amount(
      10,
      { unit: "seconds", min: 0.1, max: 3600 },
      "How often idleness and lifetimes are checked.",
    ),
    max_writes_per_second: amount(
      50,
      { unit: "writes per second", min: 1, max: 10_000 },
      "Drivers' records that each replica writes at most. A driver in use is written every quarter of its idle timeout, " +
        "and once more when it has something new; what a message waits for is written at once, and others give way.",
    ),
  },
  "What says that a session is in use.",
);
