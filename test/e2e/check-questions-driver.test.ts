import { randomUUID } from "node:crypto";
import { createServer, type Http2Server, type IncomingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCheckHandler } from "../../src/edges/envoy/check.ts";
import { createAuthorize } from "../../src/flows/authorize.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { Secret } from "../../src/kernel/secret.ts";
import { neverAsked } from "../../src/snapshots/check-headers.ts";
import { driverClusterName } from "../../src/snapshots/cluster-name.ts";
import { alice, depsWith, driverOf } from "../support/authorize-deps.ts";
import { headersOf } from "../support/check-client.ts";
import { type RunningEnvoy, startEnvoy } from "../support/envoy.ts";
import { type EnvoyWorld, startEnvoyWorld } from "../support/envoy-world.ts";
import type { KnockAnswer } from "../support/knock.ts";
import { linesOf, type OddCall, oddCalls } from "../support/odd-calls.ts";
import { type HeaderLine, rawHttp2 } from "../support/raw-http2.ts";
import { aCall } from "../support/refusal-world.ts";
import { testTools } from "../support/tools.ts";
import { until } from "../support/until.ts";

// The odd calls of check-questions.test.ts on a real Envoy: what it asks Gatehouse's Check about them, and what a driver gets to see.

let world: EnvoyWorld;
let envoy: RunningEnvoy;
let driver: Http2Server;
let port: number;
const seen: { readonly headers: IncomingHttpHeaders; ended: boolean }[] = [];

beforeAll(async () => {
  world = await startEnvoyWorld();
  const hers = driverOf(alice, { address: await startDriver(), token: new Secret("the-drivers-own") });
  const registry = { synced: true, byKey: () => hers, isEnding: () => false };
  const { deps } = depsWith({ registry, clusterName: driverClusterName, newId: randomUUID });
  const handler = createCheckHandler({
    authorize: createAuthorize(deps),
    clock: systemClock,
    log: silentLog,
    newId: randomUUID,
  });
  world.decide = async (asked) => await handler.decide(asked).catch((error: unknown) => handler.refuse(error));
  envoy = await startEnvoy({ envoy: (await testTools()).envoy, bootstrap: world.bootstrap, folder: world.folder });
  await world.startAds();
  world.registry.sink.upsert(hers);
  world.registry.sink.synced();
  port = await envoy.clientPort();
  await until(async () => (await tried({ name: "clean" }, "127.0.0.1")).code === 0, { what: "a clean call" });
});

afterAll(async () => {
  await envoy?.stop();
  driver?.close();
  await world?.close();
});

async function startDriver(): Promise<{ host: string; port: number }> {
  driver = createServer();
  driver.on("stream", (stream, headers) => {
    const entry = { headers, ended: false };
    seen.push(entry);
    stream.on("error", () => undefined).resume();
    stream.on("end", () => {
      if (stream.aborted || stream.destroyed) return;
      entry.ended = true;
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "0" });
      stream.end();
    });
  });
  await new Promise<void>((resolve) => driver.listen(0, "127.0.0.1", () => resolve()));
  return { host: "127.0.0.1", port: (driver.address() as AddressInfo).port };
}

const own: readonly HeaderLine[] = [
  ["authorization", "Bearer alice"],
  ["x-spark-session-id", "sjns-data-dev.etl"],
];

async function tried(odd: OddCall, localAddress: string): Promise<KnockAnswer> {
  const line = await rawHttp2({ port, caFile: world.caFile, localAddress });
  const answer = await line.begin(linesOf(odd, port, own), aCall).answer;
  line.close();
  return answer;
}

test("whatever a client sends, Envoy asks one plain question, and a driver sees nothing of it but what is meant for it", async () => {
  world.checks.length = 0;
  seen.length = 0;
  const todo = oddCalls.map((odd, index) => ({ odd, address: `127.78.${index >> 8}.${index & 255}` }));
  const results: { readonly odd: OddCall; readonly address: string; readonly answer: KnockAnswer }[] = [];
  const queue = [...todo];
  const work = Array.from({ length: 48 }, async () => {
    for (let each = queue.pop(); each !== undefined; each = queue.pop())
      results.push({ ...each, answer: await tried(each.odd, each.address) });
  });
  await Promise.all(work);
  const asked = world.checks.map((check) => ({ path: check.path, headers: headersOf(check), raw: check.rawHeaders }));
  for (const { odd, address, answer } of results) {
    const about = asked.filter(({ headers }) => headers["x-envoy-external-address"] === address);
    expect(about.length, odd.name).toBeLessThanOrEqual(1);
    if (answer.code === 0) expect(about, odd.name).toHaveLength(1);
  }
  for (const { path, headers } of asked) {
    const names = Object.keys(headers);
    expect(names.filter((name) => neverAsked.some((one) => one === name)).sort()).toEqual(["content-length", "host"]);
    expect(headers["content-length"]).toBe("0");
    expect(headers["x-envoy-external-address"]).toMatch(/^127\.78\./);
    expect(names.filter((name) => /^x-(gatehouse|envoy|forwarded)/.test(name)).sort()).toEqual([
      "x-envoy-expected-rq-timeout-ms",
      "x-envoy-external-address",
      "x-envoy-internal",
      "x-forwarded-proto",
    ]);
    expect(path).toMatch(/^\/[^ ]*$/);
  }
  expect(seen.length).toBeGreaterThan(30);
  for (const { headers } of seen) {
    const { ":authority": authority, ":method": method, "x-request-id": id, ...rest } = headers;
    expect(Object.fromEntries(Object.entries(rest))).toEqual({
      ":scheme": "https",
      ":path": "/spark.connect.SparkConnectService/Config",
      "content-type": "application/grpc",
      te: "trailers",
      authorization: "Bearer the-drivers-own",
    });
    expect([`localhost:${port}`, "h,h"]).toContain(authority);
    expect(method).toMatch(/^[A-Z-]+$/);
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
  }
  // A message whose length is not what was said never comes whole.
  expect(seen.filter(({ ended }) => ended)).toHaveLength(results.filter(({ answer }) => answer.code === 0).length);
});
