import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { runCommand } from "../../deploy/local/command.ts";
import {
  type ChartValues,
  exampleNames,
  exampleValues,
  manifestText,
  objectsOf,
  type Rendering,
  renderChart,
} from "../../deploy/local/helm.ts";
import { manifestPath, manifests } from "../../deploy/local/render.ts";
import { ensureTools } from "../../deploy/local/tools.ts";
import { loadConfig } from "../../src/config/load.ts";
import { bootstrapOf } from "../../src/edges/envoy/encode-bootstrap.ts";
import type { KubeObject } from "../../src/edges/kubernetes/objects.ts";
import { bootstrapSettings, snapshotSettings } from "../../src/wiring/envoy-settings.ts";
import { readSealKeys } from "../../src/wiring/replica.ts";
import { configOf, type Deployment, endpointOf, objectOf, type Role } from "../support/kube/helm-objects.ts";
import { type Endpoint, mayConnect } from "../support/kube/network-policy.ts";
import { driverRules } from "../support/kube/rules.ts";

// The chart, by Helm's own engine. What a real API server says to it: chart-cluster.test.ts.

const examples = exampleNames();
const rendered = new Map<string, Rendering>();
const interactive = exampleValues("interactive");
const sidecar = exampleValues("sidecar");

beforeAll(async () => {
  const all = await renderChart(examples.map(exampleValues), { lint: true });
  for (const [i, one] of all.entries()) rendered.set(examples[i] ?? "", one);
}, 600_000);

const objects = (example: string): readonly KubeObject[] => objectsOf(manifestText(rendered.get(example) as Rendering));

async function render(...values: Readonly<Record<string, unknown>>[]): Promise<readonly Rendering[]> {
  return await renderChart(values);
}

describe.each(examples)("the example %s", (name) => {
  it("passes lint", () => {
    expect(rendered.get(name)?.error).toBeUndefined();
    expect(rendered.get(name)?.lint).toEqual([]);
  });

  it("is what deploy/manifests holds", async () => {
    expect(readFileSync(manifestPath(name), "utf8")).toBe((await manifests())[name]);
  });

  it("has a configuration that Gatehouse accepts", () => {
    const config = loadConfig(configOf(objects(name)));
    expect(config.runtime.kind).toBe("kubernetes");
  });

  it("gives Gatehouse more time to end than it takes", () => {
    const { shutdown } = loadConfig(configOf(objects(name)));
    const { spec } = objectOf<Deployment>(objects(name), "Deployment", "gatehouse").spec.template;
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(shutdown.drain_seconds + 5 + 10);
  });

  it("leads every Service to a port of the pods that it selects", () => {
    const deployments = objects(name).filter(({ kind }) => kind === "Deployment") as Deployment[];
    const services = objects(name).filter(({ kind }) => kind === "Service") as (KubeObject & {
      spec: { selector: Record<string, string>; ports: { targetPort: string }[] };
    })[];
    expect(services.length).toBeGreaterThanOrEqual(2);
    for (const { spec } of services) {
      const selected = deployments.filter(({ spec: { template } }) =>
        Object.entries(spec.selector).every(([key, value]) => template.metadata.labels[key] === value),
      );
      expect(selected).toHaveLength(1);
      const names = selected[0]?.spec.template.spec.containers.flatMap(({ ports }) =>
        (ports ?? []).map((port) => port.name),
      );
      for (const { targetPort } of spec.ports) expect(names).toContain(targetPort);
    }
  });

  it("holds no Secret's content", () => {
    expect(objects(name).filter(({ kind }) => kind === "Secret")).toEqual([]);
  });
});

describe("the installation page", () => {
  const page = readFileSync("docs/install-kubernetes.md", "utf8");
  const values = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => parse(text ?? "") as ChartValues);

  it("shows values that the chart and Gatehouse take", async () => {
    expect(values).toHaveLength(3);
    for (const { error, files, lint } of await renderChart(values, { lint: true })) {
      expect(error).toBeUndefined();
      expect(lint).toEqual([]);
      loadConfig(configOf(objectsOf(manifestText({ files, lint }))));
    }
  });
});

describe("Envoy's way to Gatehouse", () => {
  it("is the headless Service with mutual TLS where they are apart", () => {
    const config = loadConfig(configOf(objects("interactive")));
    const { ads } = bootstrapSettings(config, { nodeId: "envoy-0", admin: "127.0.0.1:15004" });
    const host = "gatehouse-control.gatehouse.svc";
    expect(ads).toMatchObject({ address: `${host}:15024`, tls: { serverName: host } });
    const bound = { check: "0.0.0.0:15021", process: "0.0.0.0:15022", accessLog: "0.0.0.0:15023" };
    const { check, process, accessLog } = snapshotSettings(config, bound);
    expect([check, process, accessLog].map(({ address }) => address)).toEqual(
      [15021, 15022, 15023].map((port) => `${host}:${port}`),
    );
  });

  it("is a Unix socket in a folder of Gatehouse's own where they share a pod", () => {
    const config = loadConfig(configOf(objects("sidecar")));
    const { ads } = bootstrapSettings(config, { nodeId: "envoy-0", admin: "127.0.0.1:15004" });
    expect(ads).toEqual({ address: "unix:/run/gatehouse/control/ads.sock", maxRequests: 4096 });
    expect(objects("sidecar").filter(({ kind }) => kind === "Deployment")).toHaveLength(1);
  });
});

describe("values that do not fit", () => {
  const cases: readonly (readonly [string, Readonly<Record<string, unknown>>, RegExp])[] = [
    ["a key that is not there", { ...sidecar, replicas: 2 }, /additional properties 'replicas' not allowed/],
    [
      "another mode",
      { ...sidecar, envoy: { mode: "beside" } },
      /'\/envoy\/mode': value must be one of 'separate', 'sidecar'/,
    ],
    [
      "text for a number",
      { ...sidecar, gatehouse: { replicas: "two" } },
      /'\/gatehouse\/replicas': got string, want integer/,
    ],
    [
      "a name that is none",
      { ...sidecar, driverNamespaces: ["Team_A"] },
      /'\/driverNamespaces\/0': 'Team_A' does not match/,
    ],
    ["an unknown kind", { ...sidecar, driverKinds: ["job"] }, /'\/driverKinds\/0': value must be one of/],
    ["no namespace", { ...sidecar, driverNamespaces: [] }, /driverNamespaces: name the namespaces that drivers run in/],
    [
      "a kind without rights",
      { ...sidecar, driverKinds: ["spark-connect"] },
      /driverKinds: the profile default is of the kind pod/,
    ],
    ["no issuer", { ...sidecar, config: {} }, /config\.identity\.issuers: name the issuer/],
    [
      "Secrets without names",
      { ...interactive, controlTls: { source: "secrets" } },
      /'\/controlTls\/gatehouseSecret': minLength/,
    ],
    [
      "a key of the configuration that is the chart's",
      { ...sidecar, config: { ...(sidecar["config"] as object), control: { ads: "0.0.0.0:1" } } },
      /config\.control\.ads: the chart's own; set envoy\.mode/,
    ],
    [
      "a certificate without an issuer",
      { ...sidecar, tls: { certManager: { enabled: true, dnsNames: ["a.example.com"] } } },
      /tls\.certManager\.issuerRef: name the Issuer/,
    ],
  ];

  it.each(cases)("are refused: %s", async (_what, values, message) => {
    const [found] = await render(values);
    expect(found?.error).toMatch(message);
    expect(found?.files).toEqual([]);
  });
});

describe("what Helm makes once", () => {
  const host = "gatehouse-control.gatehouse.svc";
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-chart-"));
  let made: readonly KubeObject[];
  beforeAll(async () => {
    const [found] = await render({ ...interactive, sealKey: {}, controlTls: {} });
    made = objectsOf(manifestText(found as Rendering));
    for (const secret of ["gatehouse-seal", "gatehouse-control", "gatehouse-envoy-control"]) mount(secret);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** As kubelet does it. */
  function mount(secret: string): void {
    mkdirSync(join(folder, secret));
    const { data } = objectOf<KubeObject & { data: Record<string, string> }>(made, "Secret", secret);
    for (const [key, value] of Object.entries(data)) {
      writeFileSync(join(folder, secret, key), Buffer.from(value, "base64"), { mode: 0o600 });
    }
  }
  const file = (secret: string, key: string): string => join(folder, secret, key);
  const pair = (secret: string) => ({
    ca: readFileSync(file(secret, "ca.crt")),
    cert: readFileSync(file(secret, "tls.crt")),
    key: readFileSync(file(secret, "tls.key")),
  });

  it("is a seal key that Gatehouse reads", () => {
    expect(readSealKeys(file("gatehouse-seal", "seal.key")).map((key) => key.byteLength)).toEqual([48]);
  });

  it("is a certificate for each side, which believe each other and nobody without one", async () => {
    const server = createServer({ ...pair("gatehouse-control"), requestCert: true, rejectUnauthorized: true });
    const accepted: string[] = [];
    server.on("secureConnection", (socket: TLSSocket) => {
      accepted.push(String(socket.getPeerCertificate().subject.CN));
      socket.end();
    });
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const tryWith = (options: object) =>
      new Promise<string>((resolve) => {
        const socket = connect({ port, host: "127.0.0.1", ...options });
        socket.once("error", ({ message }) => resolve(message));
        socket.once("close", () => resolve("closed in peace"));
        socket.resume();
      });
    const { ca, ...envoy } = pair("gatehouse-envoy-control");
    expect(await tryWith({ ca, ...envoy, servername: host })).toBe("closed in peace");
    expect(await tryWith({ ca, ...envoy, servername: "elsewhere" })).toMatch(/does not match certificate's altnames/);
    expect(await tryWith({ ca, servername: host })).toMatch(/certificate required|handshake failure/);
    expect(accepted).toEqual(["gatehouse-envoy"]);
    await new Promise((resolve) => void server.close(resolve));
  });

  it("lets Envoy start with the configuration that the init container writes", async () => {
    const { envoy } = await ensureTools([], (line) => void process.stderr.write(`${line}\n`));
    const settings = bootstrapSettings(loadConfig(configOf(made)), { nodeId: "envoy-0", admin: "127.0.0.1:15004" });
    const text = JSON.stringify(bootstrapOf(settings));
    expect(text).toContain("/etc/envoy/control/tls.crt");
    const path = join(folder, "bootstrap.json");
    writeFileSync(path, text.replaceAll("/etc/envoy/control", join(folder, "gatehouse-envoy-control")));
    const { output, code } = await runCommand(envoy, ["--mode", "validate", "--config-path", path], {
      env: {},
      timeoutMs: 30_000,
    });
    expect(output).toContain("OK");
    expect(code).toBe(0);
  });
});

describe("a changed configuration", () => {
  const withConfig = (change: object) => ({
    ...interactive,
    config: { ...(interactive["config"] as object), ...change },
  });
  const templates = async (values: ChartValues) => {
    const [found] = await render(values);
    const made = objectsOf(manifestText(found as Rendering));
    return ["gatehouse", "gatehouse-envoy"].map((name) => objectOf<Deployment>(made, "Deployment", name).spec.template);
  };

  it("replaces Gatehouse's pods, and Envoy's only where it is theirs as well", async () => {
    const [gatehouse, envoy] = await templates(interactive);
    const [patient, sameEnvoy] = await templates(withConfig({ idle_timeout_minutes: 90 }));
    expect(patient).not.toEqual(gatehouse);
    expect(sameEnvoy).toEqual(envoy);
    const [, narrow] = await templates(withConfig({ listen: { max_connections: 100 } }));
    expect(narrow).not.toEqual(envoy);
  });
});

describe("rights", () => {
  const rulesOf = (example: string, kind: string, name: string): Role["rules"] =>
    objectOf<Role>(objects(example), kind, name).rules;

  it("are the ones that the runtime is tested with, for all kinds", async () => {
    const kinds = ["pod", "spark-application", "spark-connect", "apache-spark-application"];
    const [found] = await render({ ...sidecar, driverKinds: kinds });
    const { rules } = objectOf<Role>(objectsOf(manifestText(found as Rendering)), "Role", "gatehouse-drivers");
    expect(rules).toEqual(driverRules);
  });

  it("are for the kinds in use only", () => {
    const groups = (rules: Role["rules"]) => new Set(rules.flatMap(({ apiGroups }) => apiGroups));
    expect(groups(rulesOf("interactive", "Role", "gatehouse-drivers"))).toEqual(new Set([""]));
    expect(groups(rulesOf("pipeline", "Role", "gatehouse-drivers"))).toEqual(new Set(["", "sparkoperator.k8s.io"]));
    const apache = rulesOf("cluster-wide", "ClusterRole", "gatehouse-gatehouse-drivers");
    expect(groups(apache)).toEqual(new Set(["", "spark.apache.org"]));
    const pods = apache.find(({ resources }) => resources.includes("pods"));
    expect(pods?.verbs).toEqual(["get", "list", "watch", "patch", "delete"]);
  });

  it("never hold a wildcard", () => {
    for (const example of examples) {
      const roles = objects(example).filter(({ kind }) => kind === "Role" || kind === "ClusterRole") as Role[];
      for (const { rules } of roles) expect(JSON.stringify(rules)).not.toContain("*");
    }
  });
});

describe.each(["interactive", "sidecar", "cluster-wide"])("the network of %s", (name) => {
  const namespace = "sjns-data-dev";
  const driver: Endpoint = { namespace, labels: { "gatehouse.dev/driver": "gh-a", "spark-role": "driver" } };
  const other: Endpoint = { namespace, labels: { "gatehouse.dev/driver": "gh-b", "spark-role": "driver" } };
  const discovered: Endpoint = { namespace, labels: { "gatehouse.dev/discover": "true" } };
  const executor: Endpoint = { namespace, labels: { "gatehouse.dev/driver": "gh-a", "spark-role": "executor" } };
  const stranger: Endpoint = { namespace: "default", labels: { app: "anything" } };
  const gatehouse = () => endpointOf(objects(name), "gatehouse");
  const envoy = () => endpointOf(objects(name), name === "sidecar" ? "gatehouse" : "gatehouse-envoy");
  const open = (from: Endpoint, to: Endpoint, port: number) => mayConnect(objects(name), from, to, port);

  it("lets Envoy, and nobody else, reach Spark Connect", () => {
    for (const server of [driver, discovered]) {
      expect(mayConnect(objects(name), envoy(), server, 15002)).toBe(true);
      expect(mayConnect(objects(name), gatehouse(), server, 15002)).toBe(true);
      expect(mayConnect(objects(name), other, server, 15002)).toBe(false);
      expect(mayConnect(objects(name), executor, server, 15002)).toBe(false);
      expect(mayConnect(objects(name), stranger, server, 15002)).toBe(false);
      expect(mayConnect(objects(name), envoy(), server, 7078)).toBe(false);
    }
  });

  it("lets executors reach their driver and each other", () => {
    for (const port of [7078, 7079]) expect(open(executor, driver, port)).toBe(true);
    expect(open(driver, executor, 40_000)).toBe(true);
    expect(open(executor, executor, 40_000)).toBe(true);
    expect(open(stranger, executor, 40_000)).toBe(false);
  });

  it("keeps drivers and strangers from Gatehouse", () => {
    for (const from of [driver, executor, stranger]) {
      for (const port of [15010, 15012, 15021, 15022, 15023, 15024, 15004]) {
        expect(mayConnect(objects(name), from, gatehouse(), port)).toBe(false);
      }
    }
    expect(mayConnect(objects(name), gatehouse(), gatehouse(), 15012)).toBe(true);
    expect(mayConnect(objects(name), envoy(), gatehouse(), 15024)).toBe(name !== "sidecar");
  });

  it("lets anybody reach Envoy's door, and Envoy nothing but drivers and Gatehouse", () => {
    expect(mayConnect(objects(name), stranger, envoy(), 15003)).toBe(true);
    expect(mayConnect(objects(name), stranger, envoy(), 15004)).toBe(false);
    expect(mayConnect(objects(name), envoy(), stranger, 8080)).toBe(false);
  });
});
