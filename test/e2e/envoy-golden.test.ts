import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ensureCertificates } from "../../deploy/local/certificates.ts";
import { testTools } from "../support/tools.ts";

// The reviewed configuration, taken in by a real Envoy as one static file.

interface Bootstrap {
  readonly static_resources: { readonly clusters: readonly object[] };
}

let folder: string;
let validate: (bootstrap: object) => { readonly status: number | null; readonly output: string };

function golden(name: string): unknown {
  const text = readFileSync(new URL(`../../envoy/golden/${name}.json`, import.meta.url), "utf8");
  // The example names files of an installation; Envoy wants to read them.
  return JSON.parse(
    text
      .replaceAll("/etc/envoy/tls/tls.crt", join(folder, "server.pem"))
      .replaceAll("/etc/envoy/tls/tls.key", join(folder, "server-key.pem"))
      .replaceAll("/etc/envoy/tls/ca.crt", join(folder, "ca.pem")),
  );
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gatehouse-golden-"));
  await ensureCertificates(folder);
  const { envoy } = await testTools();
  validate = (bootstrap) => {
    const file = join(folder, "bootstrap.json");
    writeFileSync(file, JSON.stringify(bootstrap));
    const { status, stdout, stderr } = spawnSync(envoy, ["--mode", "validate", "-c", file], { encoding: "utf8" });
    return { status, output: stdout + stderr };
  };
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("Envoy", () => {
  it("accepts the bootstrap", () => {
    const { status, output } = validate(golden("bootstrap") as object);
    expect([status, output]).toEqual([0, expect.stringContaining("OK")]);
    expect(output).not.toMatch(/deprecated|warning/i);
  });

  it.each(["", "-fused"])("accepts the listener, the clusters and the routes%s", (mode) => {
    const bootstrap = golden("bootstrap") as Bootstrap;
    const [listener] = golden(`listener${mode}`) as [
      { filter_chains: [{ filters: [{ typed_config: Record<string, unknown> }] }] },
    ];
    const manager = listener.filter_chains[0].filters[0].typed_config;
    delete manager["rds"];
    manager["route_config"] = (golden(`route${mode}`) as object[])[0];
    const clusters = [...bootstrap.static_resources.clusters, ...(golden("cluster") as object[])];
    const { status, output } = validate({ ...bootstrap, static_resources: { clusters, listeners: [listener] } });
    expect([status, output]).toEqual([0, expect.stringContaining("OK")]);
    expect(output).not.toMatch(/deprecated/i);
  });

  it("refuses what is wrong, so that the above means something", () => {
    const bootstrap = golden("bootstrap") as Bootstrap;
    expect(validate({ ...bootstrap, static_resources: { clusters: [{ name: "a", nope: 1 }] } }).status).not.toBe(0);
  });
});
