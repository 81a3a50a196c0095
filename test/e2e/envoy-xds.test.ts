import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CheckAnswer } from "../../src/edges/envoy/check-server.ts";
import { factHeaders, factsOf } from "../../src/edges/envoy/facts.ts";
import { driverClusterName } from "../../src/snapshots/cluster-name.ts";
import { headersOf } from "../support/check-client.ts";
import { type RunningEnvoy, startEnvoy } from "../support/envoy.ts";
import { driverAt, type EnvoyWorld, startEnvoyWorld } from "../support/envoy-world.ts";
import { type RawClient, type RawDriver, rawClient, startRawDriver } from "../support/raw-spark.ts";
import { testTools } from "../support/tools.ts";
import { until } from "../support/until.ts";

// What the snapshot promises, on a real Envoy. Decisions and inspection are scripted; see envoy-world.ts.

const config = "/spark.connect.SparkConnectService/Config";
const execute = "/spark.connect.SparkConnectService/ExecutePlan";
let world: EnvoyWorld;
let envoy: RunningEnvoy;
let one: RawDriver;
let two: RawDriver;
let client: RawClient;
let port: number;

/** Allows the call to the driver of that app. */
function to(app: string, inspect = true, uid = `uid-${app}`): () => CheckAnswer {
  const cluster = driverClusterName({ key: driverAt(app, one).key, uid });
  const headers = {
    "x-gatehouse-cluster": cluster,
    authorization: "Bearer the-drivers",
    "x-envoy-auth-headers-to-remove": "x-spark-session-id,x-request-id",
    "x-unknown": "nothing that Envoy takes over",
  };
  const facts = factHeaders({ decision_id: "decision-1", inspect, cluster });
  return () => ({ status: 200, headers: [...Object.entries(headers).flat(), ...facts] });
}

const put = (app: string, at: { host: string; port: number }) => world.registry.sink.upsert(driverAt(app, at));
const gone = (app: string) =>
  world.registry.sink.remove({
    uid: `uid-${app}`,
    key: driverAt(app, one).key,
    cause: "stopped",
    summary: "",
    at: Date.now(),
  });

/** An answer stream that the driver has begun to answer; `alive` says whether it is still open. */
async function openStream(): Promise<{ alive(): boolean; cancel(): void }> {
  const stream = client.stream(execute);
  let open = true;
  stream.on("error", () => undefined);
  stream.on("status", () => {
    open = false;
  });
  await new Promise((resolve) => stream.once("data", resolve));
  return { alive: () => open, cancel: () => stream.cancel() };
}

async function tls(alpn: string): Promise<TLSSocket> {
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    servername: "localhost",
    ca: readFileSync(world.caFile),
    ALPNProtocols: [alpn],
  });
  await new Promise((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("error", reject);
  });
  return socket;
}

async function servedSerial(): Promise<string> {
  const socket = await tls("h2");
  const serial = socket.getPeerCertificate().serialNumber;
  socket.destroy();
  return serial.toLowerCase();
}

beforeAll(async () => {
  world = await startEnvoyWorld();
  one = await startRawDriver("127.0.0.1");
  two = await startRawDriver("127.0.0.2");
  const { envoy: program } = await testTools();
  // Envoy comes first, then ADS without any knowledge of drivers: nothing may be served or refused by then.
  envoy = await startEnvoy({ envoy: program, bootstrap: world.bootstrap, folder: world.folder });
  await world.startAds();
  await until(() => world.ads.streams === 1, { what: "Envoy's ADS stream" });
  expect(await envoy.admin("/listeners")).toBe("");
  put("a", one);
  world.registry.sink.synced();
  port = await envoy.clientPort();
  client = rawClient(port, world.caFile);
  world.decide = to("a");
  // Envoy says where it will listen a moment before it does.
  await until(async () => (await client.call(config)).code === 0, { what: "the first answer" });
});

beforeEach(() => {
  world.decide = to("a");
});

afterAll(async () => {
  client.close();
  await envoy.stop();
  one.close();
  two.close();
  await world.close();
});

describe("a call through Envoy", () => {
  it("reaches the driver that the decision names, without anything that the client made up", async () => {
    const spoofed = {
      "x-gatehouse-cluster": "gatehouse-check",
      "x-gatehouse-decision-id": "mine",
      "x-envoy-upstream-rq-timeout-ms": "1",
      "x-envoy-original-path": "/",
      "x-envoy-decorator-operation": "x",
      "x-forwarded-for": "10.0.0.1",
      authorization: "Bearer the-clients",
    };
    const answer = await client.call(config, spoofed);
    expect([answer.code, answer.body?.toString()]).toEqual([0, "ping"]);
    expect(answer.headers["x-gatehouse-decision-id"]).toBe("decision-1");
    const asked = headersOf(world.checks.at(-1));
    const names = Object.keys(asked).filter((name) => /^x-(gatehouse|envoy|forwarded)/.test(name));
    expect(names.sort()).toEqual([
      "x-envoy-expected-rq-timeout-ms",
      "x-envoy-external-address",
      "x-envoy-internal",
      "x-forwarded-proto",
    ]);
    expect(asked["x-envoy-external-address"]).toBe("127.0.0.1");
    expect(one.seen.at(-1)?.headers).toEqual({
      authorization: "Bearer the-drivers",
      "x-request-id": expect.any(String),
      "user-agent": expect.stringContaining("grpc-node-js"),
    });
  });

  it("is inspected with the decision's metadata, unless the decision says otherwise", async () => {
    world.processed.length = 0;
    await client.call(config);
    const [headers, body] = world.processed;
    expect(headers?.request_headers?.headers?.headers.map(({ key }) => key)).not.toContain("authorization");
    expect(body?.request_body?.body?.toString()).toContain("ping");
    const metadata = headers?.metadata_context?.filter_metadata?.["envoy.filters.http.ext_authz"];
    expect(factsOf(metadata)["decision_id"]).toBe("decision-1");
    world.processed.length = 0;
    world.decide = to("a", false);
    expect((await client.call(config)).code).toBe(0);
    expect(world.processed).toEqual([]);
  });

  it.each([
    "/",
    "/spark.connect.SparkConnectService/Nothing",
    `${config}/`,
    `${config}?x=1`,
    `${config}%2f`,
    `/x/..${config}`,
  ])("is decided about also where the path is %s", async (path) => {
    world.checks.length = 0;
    world.decide = () => ({ status: 404, headers: [] });
    const seen = one.seen.length;
    expect((await client.call(path)).code).toBe(12);
    expect(world.checks).toHaveLength(1);
    expect(one.seen).toHaveLength(seen);
  });

  it("with an underscore in a header's name is refused", async () => {
    world.checks.length = 0;
    expect((await client.call(config, { x_gatehouse_cluster: "a" })).code).not.toBe(0);
    expect(world.checks).toEqual([]);
  });

  it("needs HTTP/2", async () => {
    const socket = await tls("http/1.1");
    expect(socket.alpnProtocol).toBe(false);
    const received: Buffer[] = [];
    socket.on("data", (bytes) => received.push(bytes));
    socket.on("error", () => undefined);
    socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    await new Promise((resolve) => socket.once("close", resolve));
    expect(Buffer.concat(received).toString("latin1")).not.toContain("HTTP/1.1");
  });

  it("is reported while it runs, with the decision and the cluster, and when it ends", async () => {
    world.entries.length = 0;
    const stream = await openStream();
    // Entries of earlier calls may still be on their way.
    const id = () => world.entries.find((e) => e.common_properties?.access_log_type === "DownstreamPeriodic");
    const typed = (type: string) =>
      world.entries
        .map((entry) => entry.common_properties)
        .filter((e) => e?.access_log_type === type && e.stream_id === id()?.common_properties?.stream_id);
    await until(() => typed("DownstreamPeriodic").length >= 2, { what: "periodic entries" });
    stream.cancel();
    await until(() => typed("DownstreamEnd").length === 1, { what: "the end's entry" });
    const periodic = typed("DownstreamPeriodic")[0];
    expect(periodic?.upstream_cluster).toBe(driverClusterName(driverAt("a", one)));
    const metadata = periodic?.metadata?.filter_metadata?.["envoy.filters.http.ext_authz"];
    expect(factsOf(metadata)["decision_id"]).toBe("decision-1");
    expect(typed("DownstreamStart")).toHaveLength(0);
  });

  it("is not reported where it is short, unless it may leave an operation behind", async () => {
    const ended = (path: string) => world.entries.filter(({ request }) => request?.path === path);
    world.decide = to("a");
    world.entries.length = 0;
    expect((await client.call(config)).code).toBe(0);
    (await openStream()).cancel();
    await until(() => ended(execute).length === 1, { what: "the end of an execution" });
    expect(ended(config)).toHaveLength(0);
  });
});

describe("drivers that come and go", () => {
  it("a call waits for a cluster that is published after the decision", async () => {
    world.decide = () => {
      setTimeout(() => put("late", two), 300);
      return to("late")();
    };
    expect((await client.call(config)).code).toBe(0);
    expect(two.seen.at(-1)?.path).toBe(config);
    gone("late");
  });

  it("calls that wait for the same cluster all go on, also where it comes while they are inspected", async () => {
    const { process: passOn } = world;
    let inspect = () => {};
    const gate = new Promise<void>((resolve) => {
      inspect = resolve;
    });
    world.process = (call) => {
      call.on("error", () => undefined);
      void gate.then(() => passOn(call));
    };
    world.checks.length = 0;
    world.decide = to("awaited");
    const codes: number[] = [];
    const calls = Array.from({ length: 8 }, async () => codes.push((await client.call(config)).code));
    await until(() => world.checks.length === calls.length, { what: "all are decided" });
    put("awaited", two);
    world.publisher.publishNow();
    await until(async () => (await envoy.admin("/clusters")).includes("/awaited|"), { what: "the cluster is there" });
    world.process = passOn;
    inspect();
    await until(() => codes.length === calls.length, { what: "all have ended" });
    expect(codes).toEqual(calls.map(() => 0));
    gone("awaited");
  });

  it("a cluster that never comes fails the call after 2 s", async () => {
    world.decide = to("never");
    const begun = performance.now();
    expect((await client.call(config)).code).toBe(14);
    expect(performance.now() - begun).toBeLessThan(4000);
  });

  it("a new address takes effect by endpoints alone", async () => {
    const clusters = await envoy.stat("cluster_manager.cds.update_success");
    const calls = two.seen.length;
    put("a", two);
    await until(async () => (await client.call(config)).code === 0 && two.seen.length > calls);
    expect(await envoy.stat("cluster_manager.cds.update_success")).toBe(clusters);
    put("a", one);
    const before = one.seen.length;
    await until(async () => (await client.call(config)).code === 0 && one.seen.length > before);
  });

  it("a removed driver gets no new call, and its running stream lives on", async () => {
    put("b", two);
    world.decide = to("b");
    await until(async () => (await client.call(config)).code === 0);
    const stream = await openStream();
    gone("b");
    await until(async () => !(await envoy.admin("/clusters")).includes("/b|"), { what: "the cluster's removal" });
    expect((await client.call(config)).code).toBe(14);
    expect(stream.alive()).toBe(true);
    stream.cancel();
  });
});

describe("Gatehouse's own failures", () => {
  it("a restart of ADS sends nothing that Envoy has", async () => {
    const stats = ["cluster_manager.cds.update_success", "listener_manager.lds.update_success"];
    const before = await Promise.all(stats.map((name) => envoy.stat(name)));
    const stream = await openStream();
    await world.stopAds();
    await until(async () => (await envoy.stat("control_plane.connected_state")) === 0);
    expect((await client.call(config)).code).toBe(0);
    const pushes = world.metrics.value("gatehouse_xds_pushes_total");
    await world.startAds();
    await until(() => world.ads.streams === 1, { what: "Envoy's return", deadlineMs: 5000 });
    put("after", two);
    // A call that comes first looks it up, and is answered beside the push.
    await until(async () => (await envoy.admin("/clusters")).includes("/after|"), { what: "the cluster is there" });
    world.decide = to("after");
    await until(async () => (await client.call(config)).code === 0);
    // One more cluster and its endpoints, and not one of the others.
    expect(world.metrics.value("gatehouse_xds_pushes_total") - pushes).toBe(2);
    expect(await Promise.all(stats.map((name) => envoy.stat(name)))).toEqual([(before[0] ?? 0) + 1, before[1]]);
    expect(stream.alive()).toBe(true);
    stream.cancel();
    gone("after");
  });

  it("a new certificate is shown to new connections and drops no stream", async () => {
    const stream = await openStream();
    const old = await servedSerial();
    const serial = (await world.rotate()).toLowerCase();
    await until(async () => (await servedSerial()) === serial, { what: "the new certificate" });
    expect(serial).not.toBe(old);
    expect(stream.alive()).toBe(true);
    expect((await client.call(config)).code).toBe(0);
    stream.cancel();
  });

  it("a Gatehouse that hangs fails calls within 8 s, one that is away at once, and neither lets them through", async () => {
    const seen = one.seen.length;
    await world.stopControl();
    const away = performance.now();
    expect((await client.call(config)).code).toBe(14);
    expect(performance.now() - away).toBeLessThan(3000);

    const silent = createServer((socket) => void socket.on("error", () => undefined));
    await new Promise<void>((resolve) => silent.listen(join(world.folder, "sockets", "control.sock"), resolve));
    const hung = performance.now();
    const { code } = await client.call(config);
    const waited = performance.now() - hung;
    silent.close();
    await world.startControl();
    expect(code).toBe(14);
    expect(waited).toBeLessThan(8500);
    expect(one.seen).toHaveLength(seen);
    await until(async () => (await client.call(config)).code === 0);
  });
});

describe("1,000 drivers", () => {
  it("are pushed in seconds, and one more in a moment", async () => {
    const memory = envoy.memory();
    const begun = performance.now();
    for (let i = 0; i < 1000; i += 1) put(`many-${i}`, { host: `127.1.${i >> 8}.${i & 255}`, port: 15002 });
    world.publisher.publishNow();
    await until(async () => (await envoy.stat("cluster_manager.active_clusters")) >= 1004, { deadlineMs: 30_000 });
    await until(async () => (await envoy.stat("cluster_manager.warming_clusters")) === 0, { deadlineMs: 30_000 });
    const all = performance.now() - begun;
    put("one-more", two);
    const more = performance.now();
    world.publisher.publishNow();
    world.decide = to("one-more");
    expect((await client.call(config)).code).toBe(0);
    const single = performance.now() - more;
    expect(two.seen.at(-1)?.path).toBe(config);
    const used = envoy.memory() - memory;
    process.stderr.write(
      `1,000 clusters: ${Math.round(all)} ms, ${used} MiB in Envoy; one more, used: ${Math.round(single)} ms\n`,
    );
    expect(all).toBeLessThan(20_000);
    expect(single).toBeLessThan(1500);
    for (let i = 0; i < 1000; i += 1) gone(`many-${i}`);
    await until(async () => (await envoy.stat("cluster_manager.active_clusters")) < 10, { deadlineMs: 30_000 });
    expect(world.metrics.value("gatehouse_xds_nacks_total")).toBe(0);
    expect(world.warnings).toEqual([]);
  });
});
