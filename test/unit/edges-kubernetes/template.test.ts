import { describe, expect, it } from "vitest";
import type { DriverKind } from "../../../src/edges/kubernetes/kinds.ts";
import type { KubernetesProfile } from "../../../src/edges/kubernetes/options.ts";
import { podMemory, sparkMemory } from "../../../src/edges/kubernetes/quantities.ts";
import { buildResource } from "../../../src/edges/kubernetes/template.ts";
import { templateHash } from "../../../src/edges/kubernetes/template-hash.ts";
import { exampleInput, fullProfile, plainProfile } from "./template-example.ts";

const allKinds: readonly DriverKind[] = ["pod", "spark-application", "spark-connect", "apache-spark-application"];

const textOf = (profile: KubernetesProfile, kind: DriverKind): string =>
  JSON.stringify(buildResource(exampleInput(profile, kind)));

interface PlainPod {
  readonly metadata: { readonly labels: Record<string, string>; readonly annotations: Record<string, string> };
  readonly spec: {
    readonly automountServiceAccountToken: boolean;
    readonly containers: readonly { readonly args: string[]; readonly resources: { readonly limits: object } }[];
  };
}

function podOf(change: Partial<KubernetesProfile>) {
  const pod = buildResource(exampleInput({ ...plainProfile, ...change })) as unknown as PlainPod;
  const { args = [], resources } = pod.spec.containers[0] ?? {};
  const conf = (name: string) =>
    args.filter((arg) => arg.startsWith(`${name}=`)).map((arg) => arg.slice(name.length + 1));
  return { pod, args, conf, limits: resources?.limits };
}

describe.each(allKinds)("a driver of kind %s", (kind) => {
  it("keeps what decides on address, token and place, whatever spark_conf says", () => {
    const hostile = {
      "spark.connect.grpc.binding.address": "hostile",
      "spark.connect.grpc.binding.port": "666",
      "spark.connect.authenticate.token": "hostile",
      "spark.master": "hostile",
      "spark.remote": "hostile",
      "spark.submit.deployMode": "hostile",
      "spark.driver.host": "hostile",
      "spark.driver.bindAddress": "hostile",
      "spark.kubernetes.namespace": "hostile",
      "spark.kubernetes.driver.pod.name": "hostile",
      "spark.kubernetes.driver.podTemplateFile": "hostile",
      "spark.kubernetes.executor.podTemplateFile": "hostile",
      "spark.kubernetes.container.image": "hostile",
      "spark.kubernetes.driver.container.image": "hostile",
      "spark.kubernetes.authenticate.driver.serviceAccountName": "hostile",
      "spark.kubernetes.driver.label.gatehouse.dev/driver": "hostile",
      "spark.kubernetes.executor.label.gatehouse.dev/driver": "hostile",
      "spark.kubernetes.driverEnv.SPARK_CONNECT_AUTHENTICATE_TOKEN": "hostile",
      "spark.executorEnv.SPARK_CONNECT_AUTHENTICATE_TOKEN": "hostile",
      "spark.kubernetes.driver.secretKeyRef.SPARK_CONNECT_AUTHENTICATE_TOKEN": "hostile:token",
    };
    for (const profile of [plainProfile, fullProfile]) {
      const text = textOf({ ...profile, sparkConf: hostile }, kind);
      expect(text).not.toContain("hostile");
      expect(text).not.toContain("666");
    }
  });

  it("takes its token from the Secret's key alone, or has none", () => {
    const reference = { secretKeyRef: { name: "gh-0123456789abcdef0123456789abcdef-7f3a9c", key: "token" } };
    const text = textOf(fullProfile, kind);
    expect(text).toContain(JSON.stringify({ name: "SPARK_CONNECT_AUTHENTICATE_TOKEN", valueFrom: reference }));
    expect(text.split("SPARK_CONNECT_AUTHENTICATE_TOKEN")).toHaveLength(2);
    const { tokenSecret: _, ...facts } = exampleInput(fullProfile).facts;
    const without = buildResource({ ...exampleInput(fullProfile, kind), facts });
    expect(JSON.stringify(without)).not.toContain("SPARK_CONNECT_AUTHENTICATE_TOKEN");
  });

  it("carries the facts' exact text and labels that Kubernetes takes, which a profile cannot change", () => {
    const labels = { "gatehouse.dev/driver": "another", "gatehouse.dev/installation": "another" };
    const annotations = { "gatehouse.dev/facts": "another", "gatehouse.dev/seal": "another" };
    const settings = { ...fullProfile.driver, labels, annotations };
    const input = exampleInput({ ...fullProfile, driver: settings, executor: settings }, kind);
    const factsText = '{"v": 1, "exact": "text"}';
    const resource = buildResource({ ...input, factsText });
    expect(JSON.stringify(resource)).not.toContain("another");
    expect(resource.metadata.annotations?.["gatehouse.dev/facts"]).toBe(factsText);
    for (const value of Object.values(resource.metadata.labels ?? {})) {
      expect(value).toMatch(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/);
    }
  });
});

describe("a plain pod", () => {
  it("runs its tasks itself and has no access to the API where it wants no executors", () => {
    const { pod, args, conf } = podOf({ driverCores: 3 });
    expect(args.slice(0, 4)).toEqual(["--master", "local[3]", "--deploy-mode", "client"]);
    expect(pod.spec.automountServiceAccountToken).toBe(false);
    expect(conf("spark.kubernetes.driver.pod.name")).toEqual([]);
  });

  it("asks for executors where the profile wants some, also by dynamic allocation", () => {
    for (const change of [
      { executorInstances: 1 },
      { sparkConf: { "spark.executor.instances": "1" } },
      { sparkConf: { "spark.dynamicAllocation.enabled": "true" } },
    ]) {
      const { pod, args } = podOf(change);
      expect(args[1]).toMatch(/^k8s:/);
      expect(pod.spec.automountServiceAccountToken).toBe(true);
      expect(pod.metadata.annotations["gatehouse.dev/executor-template"]).not.toContain("gatehouse.dev/driver");
    }
    expect(podOf({ executorInstances: 2, sparkConf: { "spark.executor.instances": "0" } }).args[1]).toBe("local[2]");
  });

  it("names executors within Spark's 47 characters, differently in each incarnation", () => {
    const input = exampleInput(fullProfile);
    for (const prefix of [undefined, "p".repeat(30)]) {
      const names = [input.facts.createdAt, input.facts.createdAt + 1].map((createdAt) => {
        const profile = { ...fullProfile, executorPodNamePrefix: prefix };
        const text = JSON.stringify(buildResource({ ...input, profile, facts: { ...input.facts, createdAt } }));
        return /podNamePrefix=([^"]*)"/.exec(text)?.[1] ?? "";
      });
      expect(names[0]).toMatch(/^[a-z][-a-z0-9]{0,45}[a-z0-9]$/);
      expect(names[0]).not.toBe(names[1]);
    }
  });

  it("passes dollar signs through kubelet, but for the pod's own address", () => {
    const { conf } = podOf({ sparkConf: { "spark.a": "$(POD_IP) $$ $x" } });
    expect(conf("spark.a")).toEqual(["$$(POD_IP) $$$$ $$x"]);
    expect(conf("spark.connect.grpc.binding.address")).toEqual(["$(POD_IP)"]);
  });

  it("needs what spark_conf says where that is more than the keys", () => {
    expect(podOf({}).limits).toEqual({ cpu: "2", memory: "4506Mi" });
    expect(podOf({ driverMemory: "1g" }).limits).toEqual({ cpu: "2", memory: "1408Mi" });
    const sparkConf = { "spark.driver.cores": "5", "spark.driver.memory": "8g", "spark.driver.memoryOverhead": "100" };
    expect(podOf({ sparkConf }).limits).toEqual({ cpu: "5", memory: "8292Mi" });
  });
});

describe("sizes", () => {
  it.each([
    ["512m", 512],
    ["512", 512],
    ["4g", 4096],
    ["4GB", 4096],
    ["1t", 1_048_576],
    ["1025k", 2],
    ["1048577b", 2],
  ])("%s is %d MiB", (text, size) => expect(sparkMemory(text)).toBe(size));

  it("are refused where they are none", () => expect(() => sparkMemory("4Gi")).toThrow('"4Gi" is not a size'));

  it("follow Spark's rule for what a JVM needs beside its heap", () => {
    expect(podMemory({ heap: "1g", overhead: undefined })).toBe("1408Mi");
    expect(podMemory({ heap: "10g", overhead: undefined, factor: "0.4" })).toBe("14336Mi");
    expect(podMemory({ heap: "1g", overhead: "1g" })).toBe("2048Mi");
  });
});

describe("the hash of a template", () => {
  it("differs where the profile does, in whatever order its keys are, but not for lifetimes", () => {
    const reversed = Object.fromEntries(Object.entries(fullProfile).reverse()) as unknown as KubernetesProfile;
    expect(templateHash(reversed)).toBe(templateHash(fullProfile));
    expect(templateHash({ ...fullProfile, maxTtlMs: 1 })).toBe(templateHash(fullProfile));
    expect(templateHash({ ...fullProfile, driverCores: 9 })).not.toBe(templateHash(fullProfile));
    expect(templateHash(fullProfile)).toMatch(/^[0-9a-f]{16}$/);
  });
});
