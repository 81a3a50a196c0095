import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { stringify } from "yaml";
import { localConfig, mergeConfig } from "../../../deploy/local/gatehouse-config.ts";
import { makeLayout } from "../../../deploy/local/layout.ts";
import type { Tools } from "../../../deploy/local/tools.ts";
import { loadConfig } from "../../../src/config/load.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatehouse-config-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const tools: Tools = {
  envoy: "/t/envoy",
  java: "/t/java",
  python: "/t/python",
  sparkHome: "/t/spark",
  sparkVersion: "4.1.0",
  spark35: undefined,
  xdsProtos: undefined,
};

function config(with35: boolean) {
  const spark35 = { python: "/t/p35", sparkHome: "/t/s35", sparkVersion: "3.5.7", extraJars: ["/t/connect.jar"] };
  return localConfig({
    layout: makeLayout(folder),
    certificates: { caFile: "/c/ca", certFile: "/c/cert", keyFile: "/c/key" },
    issuerUrl: "http://127.0.0.1:15011",
    ports: { envoy: 15003, http: 15010 },
    javaArguments: ["-XX:Sample"],
    tools: with35 ? { ...tools, spark35 } : tools,
  });
}

const loaded = (tree: object) => loadConfig({ file: stringify(tree), env: {} });

test("the quick start's configuration has no faults, is on loopback, and leaves no drivers behind", () => {
  const result = loaded(config(false));
  expect(result.listen.address).toBe("127.0.0.1");
  expect(result.http.address).toBe("127.0.0.1");
  expect(result.runtime.local.keep_drivers_on_exit).toBe(false);
  expect(Object.keys(result.runtime.local.installations)).toEqual(["4.1.0"]);
  expect(result.runtime.local.installations["4.1.0"]?.java_arguments).toEqual(["-XX:Sample"]);
  expect(result.profiles.default.on_demand).toMatchObject({
    driver_memory: "1g",
    driver_cores: 2,
    spark_version: "4.1.0",
  });
});

test("Spark 3.5 is an installation of its own, and a profile can use it", () => {
  const profiles = { old: { allow_tokenless: true, on_demand: { spark_version: "3.5.7" } } };
  const result = loaded(mergeConfig(config(true), { profiles }));
  expect(result.runtime.local.installations["3.5.7"]?.extra_jars).toEqual(["/t/connect.jar"]);
});
