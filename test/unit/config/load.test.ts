import { describe, expect, it } from "vitest";
import { ConfigError } from "../../../src/config/faults.ts";
import { loadConfig } from "../../../src/config/load.ts";

const minimal = `
tls: { certificate_file: server.pem, private_key_file: server-key.pem }
identity:
  issuers:
    - { name: dev, issuer: "https://issuer.example.com", audiences: [gatehouse] }
runtime: { local: { installations: { "4.1.0": { spark_home: spark } } } }
`;

function faultsOf(file: string, env: Record<string, string> = {}): Record<string, string> {
  try {
    loadConfig({ file, env });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return Object.fromEntries(error.faults.map((fault) => [fault.path, `${fault.found}; ${fault.change}`]));
  }
  throw new Error("expected faults");
}

describe("defaults", () => {
  const config = loadConfig({ file: minimal, env: {} });

  it("has the documented values", () => {
    expect(config).toMatchObject({
      idle_timeout_minutes: 30,
      max_ttl_hours: 4,
      default_namespace_pattern: "sjns-{team}-{environment}",
      on_demand: {
        enabled: true,
        spark_version: "4.1.0",
        image: "apache/spark:4.1.0-python3",
        driver_cores: 2,
        driver_memory: "4g",
        executor_instances: 2,
        executor_cores: 2,
        executor_memory: "4g",
      },
      audit: { on_failure: "deny" },
      http: { address: "127.0.0.1" },
    });
  });

  it("yields a default profile, socket addresses and one creation rule", () => {
    expect(config.profiles.default).toMatchObject({ idle_timeout_minutes: 30, inspection: true, spark_conf: {} });
    expect(config.control.check).toBe("unix:run/check.sock");
    expect(config.policy.creation).toEqual([
      { who: { any: true }, namespaces: ["sjns-{team}-{environment}"], profile: "default" },
    ]);
  });

  it("is immutable to the last level", () => {
    expect(() => {
      (config.on_demand as { enabled: boolean }).enabled = false;
    }).toThrow(TypeError);
    expect(() => (config.identity.issuers as unknown[]).push({})).toThrow(TypeError);
  });
});

describe("profiles", () => {
  it("inherit what they do not set", () => {
    const config = loadConfig({
      file: `${minimal}
idle_timeout_minutes: 20
profiles:
  batch: { idle_timeout_minutes: 5, on_demand: { driver_memory: 1g }, spark_conf: { spark.ui.enabled: false, n: 2 } }
`,
      env: {},
    });
    const batch = config.profiles["batch"];
    expect(batch).toMatchObject({ idle_timeout_minutes: 5, max_ttl_hours: 4, spark_conf: { n: "2" } });
    expect(batch?.on_demand).toMatchObject({ driver_memory: "1g", executor_memory: "4g" });
    expect(batch?.spark_conf["spark.ui.enabled"]).toBe("false");
    expect(config.profiles.default.idle_timeout_minutes).toBe(20);
  });
});

describe("the environment", () => {
  it("overrides single keys, list entries, maps and whole sections", () => {
    const config = loadConfig({
      file: minimal,
      env: {
        GATEHOUSE_ON_DEMAND__SPARK_VERSION: "4.1.0",
        GATEHOUSE_HTTP__PORT: "0",
        GATEHOUSE_IDLE_TIMEOUT_MINUTES: "1.5",
        GATEHOUSE_IDENTITY__ISSUERS__0__NAME: "other",
        GATEHOUSE_PROFILES__BATCH__MAX_TTL_HOURS: "0.5",
        GATEHOUSE_HOLD: '{"limit_seconds": 3}',
        GATEHOUSE_HOLD__MAX_PER_USER: "2",
        GATEHOUSE_CONFIG: "anything",
        HOME: "ignored",
      },
    });
    expect(config.http.port).toBe(0);
    expect(config.idle_timeout_minutes).toBe(1.5);
    expect(config.identity.issuers[0]?.name).toBe("other");
    expect(config.profiles["batch"]?.max_ttl_hours).toBe(0.5);
    expect(config.hold).toMatchObject({ limit_seconds: 3, max_per_user: 2, max_total: 512 });
  });

  it("takes a text as it stands, even where it looks like a number", () => {
    const config = loadConfig({ file: minimal, env: { GATEHOUSE_AUDIT__FILE: "1e3" } });
    expect(config.audit.file).toBe("1e3");
  });

  it("refuses variables that name no key, and suggests the one that was meant", () => {
    const faults = faultsOf(minimal, { GATEHOUSE_ON_DEMND__IMAGE: "x", GATEHOUSE_zzz: "secret-value" });
    expect(faults["GATEHOUSE_ON_DEMND__IMAGE"]).toContain("GATEHOUSE_ON_DEMAND__IMAGE");
    expect(faults["GATEHOUSE_zzz"]).toContain("names no key");
    expect(JSON.stringify(faults)).not.toContain("secret-value");
  });

  it("cannot reach prototypes", () => {
    expect(faultsOf(minimal, { GATEHOUSE___PROTO____POLLUTED: "1" })).not.toEqual({});
    expect(faultsOf(`${minimal}\n__proto__: { polluted: true }`)).toHaveProperty(["__proto__"]);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

describe("faults", () => {
  it("come all together, each with its path, what was found and what to change", () => {
    const faults = faultsOf(`${minimal}
idle_timout_minutes: 4
max_ttl_hours: long
hold: { max_per_user: -1, max_total: 2100 }
log: { level: trace }
profiles: { Bad: {}, shared: { shared_with_groups: [a] } }
`);
    expect(faults).toEqual({
      idle_timout_minutes: "a key that does not exist; did you mean idle_timeout_minutes?",
      max_ttl_hours: '"long"; give a number',
      "hold.max_per_user": "-1; use at least 1",
      "hold.max_total": expect.stringContaining("half of control.max_requests (2048)"),
      "log.level": '"trace"; use one of: debug, info, warn, error',
      "profiles.Bad": expect.stringContaining("must be a DNS label"),
      "profiles.shared.shared_with_groups": expect.stringContaining("mutually_trusting"),
    });
  });

  it("say what is required", () => {
    expect(Object.keys(faultsOf(""))).toEqual(["tls", "identity"]);
  });

  it("name the line of broken YAML and nothing that follows from it", () => {
    expect(faultsOf("a: 1\na: 2")).toEqual({ "(line 2)": expect.stringContaining("unique") });
    expect(faultsOf("- 1")).toEqual({ "(the whole file)": expect.stringContaining("a list") });
  });

  it("do not print Spark settings", () => {
    expect(JSON.stringify(faultsOf(`${minimal}\nprofiles: { a: { spark_conf: { k: [hush] } } }`))).not.toContain(
      "hush",
    );
  });
});
