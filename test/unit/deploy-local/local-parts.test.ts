import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { mergeConfig } from "../../../deploy/local/gatehouse-config.ts";
import { addressPool, makeLayout } from "../../../deploy/local/layout.ts";
import { freePort, portHolder, portIsFree } from "../../../deploy/local/ports.ts";
import { progressTo } from "../../../deploy/local/progress.ts";
import { snippet } from "../../../deploy/local/quickstart-demo.ts";
import { parseMetrics } from "../../support/metrics.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatehouse-local-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("ports", () => {
  test("a port in use is not free, is never given, and its holder is named", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const { port } = server.address() as AddressInfo;
    expect(await portIsFree(port)).toBe(false);
    expect(await freePort(port)).not.toBe(port);
    if (process.platform === "linux") expect(portHolder(port)).toBe(process.pid);
    await new Promise((resolve) => {
      server.close(resolve);
    });
    expect(await portIsFree(port)).toBe(true);
    expect(await freePort(port)).toBe(port);
    expect(await freePort(port, new Set([port]))).not.toBe(port);
    expect(portHolder(port)).toBeUndefined();
  });
});

describe("the layout", () => {
  test("keeps sockets in its folder, and elsewhere where the path would be too long for one", async () => {
    expect(makeLayout(folder)).toMatchObject({ sockets: join(folder, "run"), socketsAreTemporary: false });
    const deep = makeLayout(join(folder, "d".repeat(90)));
    expect(deep.socketsAreTemporary).toBe(true);
    expect(deep.sockets.length).toBeLessThan(91);
    await rm(deep.sockets, { recursive: true });
  });

  test("gives each folder its own loopback addresses, always the same ones", () => {
    expect(addressPool("/a")).toBe(addressPool("/a"));
    expect(addressPool("/a")).not.toBe(addressPool("/b"));
    expect(addressPool("/a")).toMatch(/^127\.\d+\.\d+\.0\/24$/);
  });
});

test("configurations merge by key; lists and scalars are replaced", () => {
  const base = { a: { b: 1, c: [1, 2] }, d: "x" };
  expect(mergeConfig(base, { a: { c: [3], e: null }, f: {} })).toEqual({ a: { b: 1, c: [3], e: null }, d: "x", f: {} });
  expect(base.a.c).toEqual([1, 2]);
});

test("progress shows the seconds since the start", () => {
  const lines: string[] = [];
  let now = 5000;
  const progress = progressTo(
    (line) => lines.push(line),
    () => now,
  );
  now += 12_345;
  progress("Envoy is listening");
  expect(lines).toEqual(["[ 12.3 s] Envoy is listening\n"]);
});

test("the snippet keeps the token out of process arguments and quotes odd paths", () => {
  const demo = {
    python: "/a b/it's/python",
    url: "sc://localhost:1/;use_ssl=true",
    caFile: "/ca.pem",
    tokens: { alice: "", bob: "" },
  };
  const lines = snippet(demo, "TOKEN", {}).trimEnd().split("\n");
  expect(lines[0]).toBe("export GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=/ca.pem");
  expect(lines[1]).toContain(";token=TOKEN;x-spark-session-id=sjns-analytics-dev.quickstart'");
  expect(lines[2]).toMatch(/^'\/a b\/it'\\''s\/python' -i -c/);
  expect(lines[2]).not.toContain("TOKEN");
  expect(snippet(demo, "T", { https_proxy: "http://proxy" })).toContain("no_grpc_proxy=localhost");
});

test("a scrape adds up the samples whose labels fit", () => {
  const scrape = parseMetrics('# HELP x\nx{a="1",b="q\\"q"} 2\nx{a="1",b="z"} 3\nx{a="2"} 10\ny 1.5\n');
  expect([scrape.value("x", { a: "1" }), scrape.value("x"), scrape.value("y"), scrape.value("z")]).toEqual([
    5, 15, 1.5, 0,
  ]);
});
