import { describe, expect, it } from "vitest";
import { ConfigError } from "../../../src/config/faults.ts";
import { loadConfig } from "../../../src/config/load.ts";

interface Source {
  [key: string]: unknown;
}

const issuer = { name: "dev", issuer: "https://issuer.example.com", audiences: ["gatehouse"] };
const base: Source = {
  tls: { certificate_file: "a", private_key_file: "b" },
  identity: { issuers: [issuer] },
  runtime: { local: { installations: { "4.1.0": { spark_home: "spark" } } } },
};

function paths(change: Source): string[] {
  try {
    loadConfig({ file: JSON.stringify({ ...base, ...change }), env: {} });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map((fault) => fault.path);
  }
  return [];
}

const cases: [string, Source, string[]][] = [
  ["nothing wrong", {}, []],
  ["idle timeout under two intervals", { idle_timeout_minutes: 0.9 }, ["idle_timeout_minutes"]],
  ["the same with a shorter interval", { idle_timeout_minutes: 0.9, activity: { access_log_interval_seconds: 1 } }, []],
  [
    "a profile's idle timeout under two intervals",
    { profiles: { a: { idle_timeout_minutes: 0.5 } } },
    ["profiles.a.idle_timeout_minutes"],
  ],
  [
    "no inspection although shared",
    { profiles: { a: { inspection: false, mutually_trusting: true, shared_with_groups: ["g"] } } },
    ["profiles.a.inspection"],
  ],
  ["no inspection with one owner", { profiles: { a: { inspection: false } } }, []],
  ["shared among strangers", { profiles: { a: { shared_with_groups: ["g"] } } }, ["profiles.a.shared_with_groups"]],
  [
    "the driver's token in the settings",
    { profiles: { a: { spark_conf: { "spark.connect.authenticate.token": "x" } } } },
    ['profiles.a.spark_conf["spark.connect.authenticate.token"]'],
  ],
  ["holds beyond half of the requests", { hold: { max_total: 2049 } }, ["hold.max_total"]],
  [
    "holds beyond half of the streams that may hold them",
    { inspection: { mode: "fused", max_streams: 1000 } },
    ["hold.max_total"],
  ],
  ["the same where inspection holds nothing", { inspection: { max_streams: 1000 } }, []],
  ["holds of one user beyond all", { hold: { max_per_user: 513 } }, ["hold.max_per_user"]],
  [
    "two issuers that are one",
    { identity: { issuers: [issuer, issuer] } },
    ["identity.issuers[1].name", "identity.issuers[1].issuer"],
  ],
  [
    "plain http to another machine",
    { identity: { issuers: [{ ...issuer, issuer: "http://issuer.example.com" }] } },
    ["identity.issuers[0].issuer"],
  ],
  ["plain http on loopback", { identity: { issuers: [{ ...issuer, issuer: "http://127.0.0.1:1" }] } }, []],
  [
    "a host that only begins like loopback",
    { identity: { issuers: [{ ...issuer, issuer: "http://127.0.0.1.example.com" }] } },
    ["identity.issuers[0].issuer"],
  ],
  ["control for everybody without mutual TLS", { control: { ads: "0.0.0.0:5" } }, ["control.ads"]],
  ["control on loopback", { control: { ads: "127.0.0.1:5", check: "localhost:0", process: "[::1]:0" } }, []],
  ["two control services on one socket", { control: { ads: "unix:a", check: "unix:a" } }, ["control.ads"]],
  ["a port that is none", { control: { ads: "127.0.0.1:70000" } }, ["control.ads"]],
  [
    "a socket path that is too long",
    { control: { socket_folder: "x".repeat(120) } },
    ["control.check", "control.process", "control.access_log", "control.ads"],
  ],
  ["one port for two listeners", { http: { port: 15003 } }, ["http.port"]],
  ["a pattern without a team", { default_namespace_pattern: "all" }, ["default_namespace_pattern"]],
  ["an unknown placeholder", { default_namespace_pattern: "{team}-{x}" }, ["default_namespace_pattern"]],
  ["environments that let teams meet", { policy: { environments: ["dev", "a-dev"] } }, ["default_namespace_pattern"]],
  ["a rule with an unknown profile", { policy: { creation: [{ profile: "nope" }] } }, ["policy.creation[0].profile"]],
  ["a rule for nobody", { policy: { creation: [{ who: {} }] } }, ["policy.creation[0].who"]],
  [
    "a rule with an unknown issuer",
    { policy: { creation: [{ who: { issuers: ["x"] } }] } },
    ["policy.creation[0].who.issuers"],
  ],
  ["an owner of an unknown issuer", { policy: { admins: { owners: ["root@x"] } } }, ["policy.admins.owners[0]"]],
  [
    "a version that is not installed",
    { profiles: { old: { on_demand: { spark_version: "3.5.7" } } } },
    ["profiles.old.on_demand.spark_version"],
  ],
  [
    "keys too old at once",
    { identity: { issuers: [issuer], jwks: { max_stale_hours: 0 } } },
    ["identity.jwks.max_stale_hours"],
  ],
  ["a debounce over its ceiling", { xds: { debounce_ms: 11_000 } }, ["xds.debounce_ms"]],
];

describe("keys that do not fit each other", () => {
  it.each(cases)("%s", (_, change, expected) => {
    expect(paths(change).filter((path, i, all) => all.indexOf(path) === i)).toEqual(expected);
  });
});
