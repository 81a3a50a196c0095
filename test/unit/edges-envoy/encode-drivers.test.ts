import { describe, expect, it } from "vitest";
import { encodeResource } from "../../../src/edges/envoy/encode.ts";
import { createEncoder } from "../../../src/edges/envoy/encode-drivers.ts";
import { buildSnapshot } from "../../../src/snapshots/build.ts";
import { driverResources } from "../../../src/snapshots/driver-clusters.ts";
import { type Message, typeUrls } from "../../../src/snapshots/resource.ts";
import { exampleCertificate, exampleDriver, exampleSettings } from "../snapshots/example.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const endpointAt = (socket: Message, more: Message = {}): Message => ({
  cluster_name: "a",
  endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: socket } } }] }],
  ...more,
});

describe("createEncoder", () => {
  it("gives every resource of a snapshot the bytes that encodeResource gives it", () => {
    const hosts = ["127.0.0.1", "10.200.100.255", "::1", "2001:db8:0:0:0:0:0:1"];
    const drivers = Array.from({ length: 300 }, (_, i) =>
      exampleDriver(`app-${"x".repeat(i % 250)}`, {
        uid: `u${i}`,
        address: { host: hosts[i % 4] ?? "", port: [1, 127, 128, 16_384, 65_535][i % 5] ?? 1 },
      }),
    );
    const encode = createEncoder();
    for (const settings of [exampleSettings, { ...exampleSettings, holdLimitMs: 1 }, exampleSettings]) {
      const { resources } = buildSnapshot({ generation: 1, drivers }, settings, exampleCertificate);
      for (const [typeUrl, messages] of Object.entries(resources)) {
        for (const [name, message] of messages) {
          expect([name, hex(encode(typeUrl, message))]).toEqual([name, hex(encodeResource(typeUrl, message))]);
        }
      }
    }
  });

  it.each<[string, Message]>([
    ["no endpoints", { cluster_name: "a" }],
    ["an empty list", { cluster_name: "a", endpoints: [] }],
    ["two localities", { cluster_name: "a", endpoints: [{ lb_endpoints: [] }, {}] }],
    ["a protocol", endpointAt({ address: "127.0.0.1", port_value: 1, protocol: "UDP" })],
    ["no port", endpointAt({ address: "127.0.0.1" })],
    ["port 0", endpointAt({ address: "127.0.0.1", port_value: 0 })],
    [
      "a pipe",
      { cluster_name: "a", endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: "/x" } } } }] }] },
    ],
  ])("encodes endpoints with %s as ever", (_what, message) => {
    expect(hex(createEncoder()(typeUrls.endpoints, message))).toBe(hex(encodeResource(typeUrls.endpoints, message)));
  });

  it("refuses what encodeResource refuses, also after a good one and again", () => {
    const encode = createEncoder();
    const good = driverResources(exampleDriver("a"), exampleSettings).cluster;
    encode(typeUrls.cluster, good);
    const bad = { ...good, conect_timeout: {} };
    for (let i = 0; i < 2; i += 1)
      expect(() => encode(typeUrls.cluster, bad)).toThrow("Cluster has no field conect_tim");
    expect(hex(encode(typeUrls.cluster, good))).toBe(hex(encodeResource(typeUrls.cluster, good)));
    const { name: _, ...missing } = good;
    expect(hex(encode(typeUrls.cluster, missing))).toBe(hex(encodeResource(typeUrls.cluster, missing)));
    const misspelt = endpointAt({ address: "127.0.0.1", port_value: 1 }, { polcy: {} });
    expect(() => encode(typeUrls.endpoints, misspelt)).toThrow("has no field polcy");
    expect(() => encode(typeUrls.endpoints, endpointAt({ address: "127.0.0.1", prt: 1 }))).toThrow("has no field prt");
  });
});
