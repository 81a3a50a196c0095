import { policyFaults } from "../policy/rules.ts";
import { namespacePatternFaults } from "../sessions/namespace-pattern.ts";
import { kubernetesChecks, type Report } from "./cross-checks-kubernetes.ts";
import { type ConfigFault, pathText } from "./faults.ts";
import type { Config } from "./resolve.ts";

/** What no single key can show: keys that do not fit each other. */
export function crossChecks(config: Config): ConfigFault[] {
  const faults: ConfigFault[] = [];
  const report: Report = (path, found, change) =>
    faults.push({ path: typeof path === "string" ? path : pathText(path), found, change });
  for (const check of checks) {
    check(config, report);
  }
  return faults;
}

const checks = [issuers, profiles, holding, addresses, namespaces, rules, installations, kubernetesChecks, keyAges];

function issuers({ identity }: Config, report: Report): void {
  for (const [i, issuer] of identity.issuers.entries()) {
    const earlier = identity.issuers.slice(0, i);
    const path = ["identity", "issuers", i];
    if (earlier.some((other) => other.name === issuer.name)) {
      report([...path, "name"], `"${issuer.name}" a second time`, "give every issuer a name of its own");
    }
    if (earlier.some((other) => other.issuer === issuer.issuer)) {
      report([...path, "issuer"], "the same URL a second time", "list every issuer once");
    }
    for (const key of ["issuer", "jwks_uri"] as const) {
      const url = issuer[key];
      if (url !== undefined && !trustworthy(url)) {
        report([...path, key], "plain http to another machine", "use https (http is for loopback only)");
      }
    }
  }
}

function trustworthy(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || isLoopback(hostname);
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host === "::1" || /^127(\.[0-9]{1,3}){3}$/.test(host);
}

function profiles(config: Config, report: Report): void {
  const leastIdle = (2 * config.activity.access_log_interval_seconds) / 60;
  for (const [name, profile] of Object.entries(config.profiles)) {
    const at = (key: string): readonly string[] => ["profiles", name, key];
    if (profile.idle_timeout_minutes < leastIdle) {
      report(
        name === "default" ? ["idle_timeout_minutes"] : at("idle_timeout_minutes"),
        `${profile.idle_timeout_minutes} minutes`,
        `make it at least two access log intervals (${leastIdle} minutes), or shorten activity.access_log_interval_seconds`,
      );
    }
    const shared = profile.shared_with_groups.length > 0;
    if (!profile.inspection && (shared || profile.mutually_trusting)) {
      report(
        at("inspection"),
        "off on a profile for several users",
        "leave inspection on, or give each driver one owner",
      );
    }
    if (shared && !profile.mutually_trusting) {
      report(
        at("shared_with_groups"),
        "groups on a profile whose users need not trust each other",
        "set mutually_trusting: true, or do not share",
      );
    }
    for (const key of Object.keys(profile.spark_conf)) {
      if (/^spark\.connect\.(grpc\.binding\.|authenticate\.)/.test(key)) {
        report([...at("spark_conf"), key], "a setting that is Gatehouse's own", "remove it");
      }
    }
  }
}

function holding({ hold, control, inspection }: Config, report: Report): void {
  if (inspection.mode === "fused" && hold.max_total > inspection.max_streams / 2) {
    report(
      ["hold", "max_total"],
      String(hold.max_total),
      `make it at most half of inspection.max_streams (${Math.floor(inspection.max_streams / 2)}), among which held calls count where inspection.mode is fused`,
    );
  }
  if (hold.max_total > control.max_requests / 2) {
    report(
      ["hold", "max_total"],
      String(hold.max_total),
      `make it at most half of control.max_requests (${Math.floor(control.max_requests / 2)}), so that held calls leave room for others`,
    );
  }
  if (hold.max_per_user > hold.max_total) {
    report(["hold", "max_per_user"], String(hold.max_per_user), `make it at most hold.max_total (${hold.max_total})`);
  }
}

function addresses({ control, listen, http }: Config, report: Report): void {
  const keys = ["check", "process", "access_log", "ads"] as const;
  for (const [i, key] of keys.entries()) {
    const address = control[key];
    if (address.startsWith("unix:")) {
      if (address.length > "unix:".length + 107) {
        report(
          ["control", key],
          `a socket path of ${address.length - 5} characters`,
          "make it at most 107 characters long",
        );
      }
    } else {
      const port = Number(address.slice(address.lastIndexOf(":") + 1));
      if (port > 65_535) report(["control", key], `port ${port}`, "use a port from 0 to 65535");
      if (control.mtls === undefined && !isLoopback(address.slice(0, address.lastIndexOf(":")))) {
        report(
          ["control", key],
          "an address that others can reach",
          "set control.mtls, or use a Unix socket or loopback",
        );
      }
    }
    const twin = keys.slice(0, i).find((other) => control[other] === address);
    if (twin !== undefined && !address.endsWith(":0")) {
      report(["control", key], `the same address as control.${twin}`, "give each its own");
    }
  }
  const meets = listen.address === http.address || listen.address === "0.0.0.0" || http.address === "0.0.0.0";
  if (listen.port === http.port && listen.port !== 0 && meets) {
    report(["http", "port"], `${http.port}, which is also listen.port`, "give each its own");
  }
}

function namespaces(config: Config, report: Report): void {
  const pattern = config.default_namespace_pattern;
  const path = ["default_namespace_pattern"];
  if (!pattern.includes("{team}")) {
    report(path, pattern, "put {team} into it: without it, every team gets the same namespace");
  }
  for (const fault of namespacePatternFaults(pattern, config.policy.environments)) report(path, pattern, fault);
}

function rules(config: Config, report: Report): void {
  const names = config.identity.issuers.map((issuer) => issuer.name);
  for (const fault of policyFaults(config.policy, names)) {
    const [, place = "", what = fault] = /^([\w.[\]]+):?\s(.*)$/s.exec(fault) ?? [];
    if (!repeatsPattern(config, place)) report(`policy.${place}`, "a rule that cannot work", what);
  }
  const known = new Set(names);
  for (const [i, rule] of config.policy.creation.entries()) {
    const path = ["policy", "creation", i];
    if (!Object.hasOwn(config.profiles, rule.profile)) {
      report([...path, "profile"], `"${rule.profile}"`, `name one of: ${Object.keys(config.profiles).join(", ")}`);
    }
    for (const [j, owner] of (rule.who.owners ?? []).entries()) {
      checkOwner([...path, "who", "owners", j], owner, known, report);
    }
  }
  for (const [j, owner] of config.policy.admins.owners.entries()) {
    checkOwner(["policy", "admins", "owners", j], owner, known, report);
  }
}

/** Whether the entry is default_namespace_pattern again, whose faults are reported there. */
function repeatsPattern(config: Config, place: string): boolean {
  const [, rule, entry] = /^creation\[([0-9]+)\]\.namespaces\[([0-9]+)\]$/.exec(place) ?? [];
  if (rule === undefined || entry === undefined) return false;
  return config.policy.creation[Number(rule)]?.namespaces[Number(entry)] === config.default_namespace_pattern;
}

function checkOwner(path: readonly PropertyKey[], owner: string, known: ReadonlySet<string>, report: Report): void {
  const name = owner.slice(owner.lastIndexOf("@") + 1);
  if (!known.has(name)) report(path, `the issuer "${name}"`, `end it with @ and one of: ${[...known].join(", ")}`);
}

function installations({ on_demand, runtime, profiles: all }: Config, report: Report): void {
  if (!on_demand.enabled || runtime.kind !== "local") return;
  const versions = Object.keys(runtime.local.installations);
  for (const [name, profile] of Object.entries(all)) {
    if (versions.includes(profile.on_demand.spark_version)) continue;
    report(
      name === "default" ? ["on_demand", "spark_version"] : ["profiles", name, "on_demand", "spark_version"],
      `${profile.on_demand.spark_version}, which is not installed`,
      `add it to runtime.local.installations (there: ${versions.join(", ") || "none"}), or set on_demand.enabled: false`,
    );
  }
}

function keyAges({ identity: { jwks }, xds }: Config, report: Report): void {
  if (jwks.max_stale_hours * 3600 < jwks.max_age_seconds) {
    report(["identity", "jwks", "max_stale_hours"], String(jwks.max_stale_hours), "make it at least max_age_seconds");
  }
  if (xds.debounce_ms > xds.debounce_ceiling_ms) {
    report(["xds", "debounce_ms"], String(xds.debounce_ms), "make it at most xds.debounce_ceiling_ms");
  }
}
