import { describe, expect, it } from "vitest";
import { ConfigError } from "../../../src/config/faults.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { kubernetesSettings } from "../../../src/wiring/runtime-settings.ts";

type Tree = Record<string, unknown>;

const base: Tree = {
  tls: { certificate_file: "a", private_key_file: "b" },
  identity: { issuers: [{ name: "dev", issuer: "https://issuer.example.com", audiences: ["gatehouse"] }] },
};

const load = (kubernetes: Tree = {}, profile: Tree = {}, kind = "kubernetes") =>
  loadConfig({
    file: JSON.stringify({
      ...base,
      runtime: { kind, kubernetes: { seal_key_file: "seal.key", ...kubernetes } },
      profiles: { default: profile },
    }),
    env: {},
  });

function paths(...args: Parameters<typeof load>): readonly string[] {
  try {
    load(...args);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map((fault) => fault.path);
  }
  return [];
}

describe("the keys of the Kubernetes runtime", () => {
  const runtime = (change: Tree, ...faults: string[]): [Tree, string[]] => [
    change,
    faults.map((key) => `runtime.kubernetes.${key}`),
  ];

  it.each([
    runtime({}),
    runtime({ seal_key_file: undefined }, "seal_key_file"),
    runtime({ lease: { renew_deadline_seconds: 15 } }, "lease.renew_deadline_seconds"),
    runtime({ lease: { retry_seconds: 10 } }, "lease.retry_seconds"),
    runtime({ peer: { listen: "unix:/run/peer.sock" } }, "peer.listen"),
    runtime({ peer: { advertise: "10.0.0.1:70000" } }, "peer.advertise"),
    runtime({ unschedulable_grace_seconds: 301 }, "unschedulable_grace_seconds"),
    runtime({ namespaces: ["Not_A_Name"] }, "namespaces[0]"),
    runtime({ deletion: "orphan" }, "deletion"),
  ])("of %j are checked", (change, faults) => expect(paths(change)).toEqual(faults));

  it("do not count where another runtime is used", () => {
    const faults = paths({ seal_key_file: undefined }, { kubernetes: { kind: "spark-connect" } }, "local");
    expect(faults).toEqual(["on_demand.spark_version"]);
  });
});

describe("a profile's keys for Kubernetes", () => {
  const profile = (change: Tree, ...faults: string[]): [Tree, string[]] => [
    change,
    faults.map((key) => `profiles.default.kubernetes.${key}`),
  ];

  it.each([
    profile({}),
    profile({ kubernetes: { kind: "pod" }, on_demand: { executor_instances: 0 } }),
    profile({ kubernetes: { kind: "spark-connect" }, on_demand: { executor_instances: 0 } }, "kind"),
    profile({
      kubernetes: { kind: "spark-connect" },
      on_demand: { executor_instances: 0 },
      spark_conf: { "spark.dynamicAllocation.enabled": true },
    }),
    profile({ kubernetes: { java_options: "-Dx=1 -Xmx2g" } }, "java_options"),
    profile({ kubernetes: { executor_pod_name_prefix: "p".repeat(31) } }, "executor_pod_name_prefix"),
    profile(
      { kubernetes: { driver: { labels: { "gatehouse.dev/driver": "x" } } } },
      'driver.labels["gatehouse.dev/driver"]',
    ),
    profile({ kubernetes: { driver: { labels: { team: "not a value" } } } }, "driver.labels.team"),
    profile({ kubernetes: { executor: { annotations: { "a b": "any value" } } } }, 'executor.annotations["a b"]'),
    profile({ kubernetes: { executor: { annotations: { note: "any value" } } } }),
    profile(
      { kubernetes: { driver: { tolerations: [{ key: "a", operator: "Exists", value: "b" }] } } },
      "driver.tolerations[0].value",
    ),
  ])("of %j are checked", (change, faults) => expect(paths({}, change)).toEqual(faults));
});

describe("what the runtime is told", () => {
  it("are the keys, and what only the own pod knows", () => {
    const own = { namespace: "gate", advertise: "10.1.2.3:15012" };
    expect(kubernetesSettings(load(), own)).toMatchObject({
      cluster: "local",
      installation: "gatehouse",
      namespaces: [],
      lease: { namespace: "gate", name: "gatehouse", durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 },
      peer: { listen: "0.0.0.0:15012", advertise: "10.1.2.3:15012" },
      port: 15_002,
      maxDrivers: 1000,
      startTimeoutMs: 300_000,
      unschedulableGraceMs: 10_000,
      failureMemoryMs: 30_000,
      deletion: "Background",
      staleAfterMs: 120_000,
    });
    const set = load({
      lease: { namespace: "a", name: "b" },
      peer: { advertise: "c:1", listen: "[::]:2" },
      deletion: "foreground",
    });
    expect(kubernetesSettings(set, own)).toMatchObject({
      lease: { namespace: "a", name: "b" },
      peer: { listen: "[::]:2", advertise: "c:1" },
      deletion: "Foreground",
    });
  });

  it("are profiles in units of their own", () => {
    const config = load(
      {},
      {
        max_ttl_hours: 1,
        kubernetes: {
          run_as_user: 0,
          connect_session_timeout_minutes: 1.5,
          driver: {
            service_account: "spark",
            memory_overhead: "1g",
            tolerations: [{ key: "pool", effect: "NoExecute", toleration_seconds: 60 }],
          },
        },
        spark_conf: { "spark.a": 1 },
      },
    );
    expect(kubernetesSettings(config, { namespace: "a", advertise: "b" }).profiles["default"]).toMatchObject({
      kind: "pod",
      image: "apache/spark:4.1.0-python3",
      runAsUser: undefined,
      driverMemoryOverhead: "1g",
      connectSessionTimeoutMs: 90_000,
      maxTtlMs: 3_600_000,
      sparkConf: { "spark.a": "1" },
      driver: {
        serviceAccount: "spark",
        tolerations: [{ key: "pool", operator: "Equal", effect: "NoExecute", tolerationSeconds: 60 }],
      },
    });
  });
});
