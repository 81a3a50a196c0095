import { describe, expect, it } from "vitest";
import { toProtoJson } from "../../../src/edges/envoy/encode.ts";
import { bootstrapOf } from "../../../src/edges/envoy/encode-bootstrap.ts";
import { buildSnapshot } from "../../../src/snapshots/build.ts";
import { typeUrls } from "../../../src/snapshots/resource.ts";
import { exampleCertificate, exampleDriver, exampleSettings } from "./example.ts";

// What Envoy is given, in full, to be read and reviewed. `npx vitest run -u` writes the files anew.

const pretty = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
const golden = (name: string): string => new URL(`../../../envoy/golden/${name}.json`, import.meta.url).pathname;

describe("the generated configuration", () => {
  const { resources } = buildSnapshot(
    { generation: 1, drivers: [exampleDriver("app")] },
    exampleSettings,
    exampleCertificate,
  );

  it.each(["listener", "route", "cluster", "endpoints"] as const)("of type %s is as reviewed", async (type) => {
    const all = [...resources[typeUrls[type]].values()].map((message) => toProtoJson(typeUrls[type], message));
    await expect(pretty(all)).toMatchFileSnapshot(golden(type));
  });

  it.each(["listener", "route"] as const)(
    "of type %s is as reviewed where one filter decides and inspects",
    async (type) => {
      const fused = buildSnapshot(
        { generation: 1, drivers: [] },
        { ...exampleSettings, inspection: "fused" },
        exampleCertificate,
      );
      const all = [...fused.resources[typeUrls[type]].values()].map((message) => toProtoJson(typeUrls[type], message));
      await expect(pretty(all)).toMatchFileSnapshot(golden(`${type}-fused`));
    },
  );

  it("of the bootstrap is as reviewed", async () => {
    const bootstrap = bootstrapOf({
      nodeId: "envoy-1",
      ads: { address: "unix:/run/gatehouse/ads.sock", maxRequests: 16 },
      admin: "127.0.0.1:15004",
      maxConnections: 10_000,
    });
    await expect(pretty(bootstrap)).toMatchFileSnapshot(golden("bootstrap"));
  });
});
