import { z } from "zod";
import { amount, count, documented, section, text } from "./keys.ts";
import { kubernetes } from "./schema-kubernetes.ts";

/** Keys about where drivers run, and about Gatehouse's own process. */

const installation = z.strictObject({
  spark_home: documented(text(), "Folder of the Spark installation (it holds `jars/`)."),
  python: documented(
    text().default("python3"),
    "Python interpreter for the driver's Python workers; it must have the same minor version as the clients'.",
  ),
  extra_jars: documented(
    z.array(text()).max(1000).default([]),
    "More jars for the driver's class path, such as Spark Connect's own for Spark 3.5.",
  ),
  java_arguments: documented(
    z.array(text()).max(100).default([]),
    "More arguments for the driver's Java, such as a class data archive (runbook: local drivers that start faster).",
  ),
});

const local = section(
  {
    folder: documented(
      text().default(".gatehouse/drivers"),
      "Folder of the drivers' state files and logs; made with mode 0700.",
    ),
    java: documented(text().default("java"), "The Java that runs drivers: a path, or a name on the PATH."),
    address_pool: documented(
      text("cidr").default("127.77.0.0/16"),
      "Loopback addresses from which each driver gets one of its own.",
    ),
    port: count(
      15002,
      { unit: "port", min: 1024, max: 65535 },
      "Port that every driver listens on, at its own address.",
    ),
    max_drivers: count(8, { unit: "drivers", min: 1, max: 10_000 }, "Drivers at once on this machine."),
    concurrent_starts: count(
      2,
      { unit: "drivers", min: 1, max: 1000 },
      "Drivers that may be starting at once; more wait their turn.",
    ),
    start_timeout_seconds: amount(
      120,
      { unit: "seconds", min: 1, max: 3600 },
      "A driver that is not ready by then has failed.",
    ),
    stop_grace_seconds: amount(
      10,
      { unit: "seconds", min: 0, max: 600 },
      "Time between asking a driver to end and ending it by force.",
    ),
    keep_drivers_on_exit: documented(
      z.boolean().default(true),
      "Whether drivers outlive Gatehouse, to be adopted by its next start.",
    ),
    keep_logs: count(
      20,
      { unit: "logs", min: 0, max: 10_000 },
      "Logs of ended drivers that are kept; the oldest go first.",
    ),
    installations: documented(
      z.record(text("version"), installation).default({}),
      "Spark installations by version. Every profile's spark_version must be here while runtime.kind is local and " +
        "on_demand.enabled is true.",
    ),
  },
  "The local runtime: drivers as processes of this machine, for development.",
);

export const runtime = section(
  {
    kind: documented(z.enum(["local", "kubernetes"]).default("local"), "Where drivers run."),
    local,
    kubernetes,
  },
  "Where drivers run.",
);

export const audit = section(
  {
    file: documented(
      text().default("-"),
      "File that audit records are appended to, one JSON object a line; `-` is standard output. Made with mode 0600; " +
        "SIGHUP opens it anew after a rotation.",
    ),
    on_failure: documented(
      z.enum(["deny", "allow"]).default("deny"),
      "What becomes of a call whose record cannot be written. `allow` loses records while the sink is broken; calls of the " +
        "HTTP side and starts of drivers are refused all the same.",
    ),
    timeout_ms: amount(
      2000,
      { unit: "milliseconds", min: 1, max: 60_000 },
      "A record that is not written by then counts as failed.",
    ),
  },
  "The audit log.",
);

export const log = section(
  {
    level: documented(
      z.enum(["debug", "info", "warn", "error"]).default("info"),
      "The least severe messages that are logged. The log goes to standard error, as JSON lines.",
    ),
  },
  "The operational log.",
);

export const shutdown = section(
  {
    drain_seconds: amount(
      5,
      { unit: "seconds", min: 0, max: 600 },
      "How long calls under way may finish after SIGTERM; then they are cut.",
    ),
  },
  "Ending.",
);
