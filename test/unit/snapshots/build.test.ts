import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { encodeResource } from "../../../src/edges/envoy/encode.ts";
import { Secret } from "../../../src/kernel/secret.ts";
import { buildSnapshot } from "../../../src/snapshots/build.ts";
import { driverClusterName, isDriverClusterName } from "../../../src/snapshots/cluster-name.ts";
import { type Snapshot, typeUrls } from "../../../src/snapshots/resource.ts";
import { exampleCertificate, exampleDriver, exampleSettings } from "./example.ts";

const build = (...drivers: ReturnType<typeof exampleDriver>[]): Snapshot =>
  buildSnapshot({ generation: 7, drivers }, exampleSettings, exampleCertificate);

describe("driverClusterName", () => {
  it("holds key and incarnation, and is well-formed", () => {
    const name = driverClusterName(exampleDriver("my.app-1", { uid: "3f0c2b1e-0000-4000-8000-000000000001" }));
    expect(name).toBe("driver|sjns-data-dev/my.app-1|3f0c2b1e-0000-4000-8000-000000000001");
    expect(isDriverClusterName(name)).toBe(true);
  });

  it.each([
    "",
    "driver|a/b",
    "driver|a/b|",
    "driver|A/b|u",
    "driver|a/b|u|v",
    "driver|a/b/c|u",
    "gatehouse-check",
    "x",
  ])("does not take %j for one", (name) => {
    expect(isDriverClusterName(name)).toBe(false);
  });
});

describe("buildSnapshot", () => {
  it("gives every driver a cluster and endpoints of its own name, and the same cluster wherever it listens", () => {
    const here = build(exampleDriver("a"));
    const there = build(exampleDriver("a", { address: { host: "::1", port: 1 } }));
    const name = driverClusterName(exampleDriver("a"));
    const bytes = (snapshot: Snapshot, type: "cluster" | "endpoints") =>
      Buffer.from(encodeResource(typeUrls[type], snapshot.resources[typeUrls[type]].get(name) ?? {})).toString("hex");
    expect(bytes(here, "cluster")).toBe(bytes(there, "cluster"));
    expect(bytes(here, "endpoints")).not.toBe(bytes(there, "endpoints"));
    expect([...here.resources[typeUrls.cluster].keys()]).toEqual([
      "gatehouse-check",
      "gatehouse-process",
      "gatehouse-access-log",
      name,
    ]);
  });

  it("keeps a draining driver", () => {
    const draining = exampleDriver("a", { phase: "draining", draining: { reason: "max_ttl", since: 1 } });
    expect(build(draining).resources[typeUrls.endpoints].size).toBe(1);
  });

  it.each([
    ["a host name", { address: { host: "driver.example", port: 15002 } }],
    ["port 0", { address: { host: "127.0.0.1", port: 0 } }],
    ["a port that is none", { address: { host: "127.0.0.1", port: 70_000 } }],
    ["a uid that fits no name", { uid: "a|b" }],
  ])("leaves out a driver with %s and keeps the others", (_what, more) => {
    const snapshot = build(exampleDriver("bad", more), exampleDriver("good"));
    expect(snapshot.skipped).toHaveLength(1);
    expect([...snapshot.resources[typeUrls.endpoints].keys()]).toEqual([driverClusterName(exampleDriver("good"))]);
  });

  it("gives the same objects for the same arguments, so that only changes are encoded", () => {
    const drivers = [exampleDriver("a"), exampleDriver("b")];
    const [first, second] = [build(...drivers), build(...drivers)];
    for (const type of Object.values(typeUrls)) {
      for (const [name, message] of first.resources[type]) expect(second.resources[type].get(name)).toBe(message);
    }
  });

  it("never shows the private key or a driver's token, except on the wire", () => {
    const snapshot = build(exampleDriver("a"));
    const printed = inspect(snapshot, { depth: 99 }) + JSON.stringify([...snapshot.resources[typeUrls.secret]]);
    expect(printed).toContain("the chain");
    expect(printed).not.toContain("the key");
    expect(printed).not.toContain("the driver's token");
    const secret = snapshot.resources[typeUrls.secret].get("gatehouse-server") ?? {};
    expect(Buffer.from(encodeResource(typeUrls.secret, secret)).toString("latin1")).toContain("the key");
  });
});

describe("encodeResource", () => {
  it("refuses a field that the message does not have, also in what is packed", () => {
    expect(() => encodeResource(typeUrls.cluster, { name: "a", conect_timeout: {} })).toThrow(
      "Cluster has no field conect_timeout",
    );
    const packed = { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", nope: true };
    const listener = { filter_chains: [{ filters: [{ name: "x", typed_config: packed }] }] };
    expect(() => encodeResource(typeUrls.listener, listener)).toThrow("typed_config has no field nope");
  });

  it("reveals secrets", () => {
    const secret = { name: "s", tls_certificate: { private_key: { inline_string: new Secret("k3y") } } };
    expect(Buffer.from(encodeResource(typeUrls.secret, secret)).toString("latin1")).toContain("k3y");
  });
});
