import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { rotateServerCertificate } from "../../deploy/local/certificates.ts";
import { processStart } from "../../deploy/local/process-identity.ts";
import {
  callOnce,
  driverRecords,
  envoyAccepted,
  failedAdsTries,
  inspectedBytes,
  pushes,
  servedSerial,
} from "../support/kill-watch.ts";
import { type LiveClient, type LiveRequest, liveClient } from "../support/live-client.ts";
import { type ClientOptions, type Stack, type StackDriver, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

// One driver, stock clients, and everything around them killed in turn. Each test leaves the stack working for the next.

const alice: ClientOptions = { user: "alice", session: "sjns-analytics-dev.main" };
const long = { deadlineMs: 120_000 };
const unavailable = 14;

let stack: Stack;
let client: LiveClient;
/** On the same driver, with a Spark session of its own and without retries. */
let impatient: LiveClient;
let driver: StackDriver;

beforeAll(async () => {
  stack = await startStack({
    start: ["issuer"],
    config: { runtime: { local: { keep_drivers_on_exit: true } }, shutdown: { drain_seconds: 60 } },
  });
});

afterAll(async () => {
  await client?.end();
  await impatient?.end();
  await stack?.stop();
});

function theDriver(): StackDriver {
  const found = stack.drivers().find(({ session }) => session === "sjns-analytics-dev/main");
  if (found === undefined) throw new Error("the session has no driver");
  return found;
}

/** What a whole `stream` of that length gives. */
const allRows = (seconds: number): [number, number] => [seconds * 4, (seconds * 4 * (seconds * 4 - 1)) / 2];

async function begunStream(seconds: number): Promise<LiveRequest> {
  const stream = client.ask("stream", { seconds });
  await stream.begun;
  return stream;
}

const nothing = { cluster: 0, endpoints: 0, secret: 0, listener: 0, route: 0 };

const envoyIsConnected = async (): Promise<void> =>
  await until(async () => (await stack.metrics()).value("gatehouse_xds_streams") === 1, long);

async function rotated(): Promise<string> {
  return (await rotateServerCertificate(join(stack.folder, "certificates"))).toLowerCase();
}

const isServed = async (serial: string): Promise<void> =>
  await until(async () => (await servedSerial(stack)) === serial, { ...long, what: "the new certificate" });

test("Envoy and a client come first, Gatehouse after Envoy's first tries: the client is served", async () => {
  // GATEHOUSE_LATE_SECONDS=60 for the long version.
  const patience = Number(process.env["GATEHOUSE_LATE_SECONDS"] ?? "0") * 1000;
  const begun = performance.now();
  await stack.envoy.launch();
  client = await liveClient(stack, alice);
  const connected = client.ask("connect");
  await until(async () => (await failedAdsTries(stack)) >= 6 && performance.now() - begun >= patience, {
    ...long,
    what: "Envoy's sixth try to reach ADS",
  });
  await stack.gatehouse.start();
  await stack.envoy.ready();
  expect((await connected.done).error).toBeUndefined();
  expect(await client.result("make_view")).toBe(7);
  driver = theDriver();
  impatient = await liveClient(stack, alice);
  await impatient.result("connect", { impatient: true });
  expect(await impatient.result("count")).toBe(10);
});

test("kill -9 of Gatehouse: streams finish, new calls wait, uploads end UNAVAILABLE, nothing is resent", async () => {
  const before = await envoyAccepted(stack);
  const stream = await begunStream(30);
  const bytes = await inspectedBytes(stack);
  const [failing, retried] = [
    impatient.ask("upload", { megabytes: 256 }),
    client.ask("upload", { megabytes: 48 }),
  ] as const;
  await until(async () => (await inspectedBytes(stack)) - bytes > 16 * 1024 * 1024, long);
  expect([failing.pending(), retried.pending()]).toEqual([true, true]);
  await stack.gatehouse.kill9();

  expect((await failing.done).error).toContain("StatusCode.UNAVAILABLE");
  const count = client.ask("count");
  expect(await callOnce(stack, alice)).toMatchObject({ code: unavailable });
  expect([stream.pending(), count.pending(), retried.pending()]).toEqual([true, true, true]);
  await stack.gatehouse.start();

  expect(await stream.done).toMatchObject({ result: allRows(30) });
  expect(await count.done).toMatchObject({ result: 10 });
  expect((await retried.done).error).toBeUndefined();
  expect(await client.result("see_view")).toBe(7);
  await envoyIsConnected();
  expect(await pushes(stack)).toEqual(nothing);
  expect(await envoyAccepted(stack)).toEqual(before);
  expect(theDriver()).toEqual(driver);
  expect((await driverRecords(stack)).map(({ action }) => action)).toEqual(["start"]);
});

test("a new certificate in the files is served to new connections; a running stream goes on", async () => {
  const stream = await begunStream(16);
  await isServed(await rotated());
  expect(stream.pending()).toBe(true);
  expect(await stream.done).toMatchObject({ result: allRows(16) });
  // One message since Gatehouse came back: so nothing had been resent before either.
  expect(await pushes(stack)).toEqual({ ...nothing, secret: 1 });
});

test("Gatehouse restarted with another certificate and listener: only these are sent, a running stream goes on", async () => {
  const before = await envoyAccepted(stack);
  const stream = await begunStream(20);
  expect(await stack.gatehouse.stop()).toBe(0);
  const serial = await rotated();
  stack.reconfigure({ listen: { max_concurrent_streams: 90 } });
  await stack.gatehouse.start();
  await isServed(serial);
  await until(async () => (await pushes(stack))["listener"] === 1, long);
  expect(await pushes(stack)).toEqual({ ...nothing, secret: 1, listener: 1 });
  const lds = "envoy_listener_manager_lds_update_success";
  await until(async () => (await envoyAccepted(stack))[lds] === before[lds]! + 1, long);
  expect(await envoyAccepted(stack)).toEqual({ ...before, [lds]: before[lds]! + 1 });
  expect(await stream.done).toMatchObject({ result: allRows(20) });
});

test("kill -9 of Envoy: the client comes back to the same driver, its query goes on", async () => {
  const stream = await begunStream(16);
  await stack.envoy.kill9();
  await stack.envoy.start();
  expect(await client.result("see_view")).toBe(7);
  expect(await stream.done).toMatchObject({ result: allRows(16) });
  expect(theDriver()).toEqual(driver);
});

test("the issuer away: tokens of known keys work, seen before or not; back, new ones do", async () => {
  const unseen = await stack.token("alice");
  await stack.issuer.kill9();
  expect(await client.result("count")).toBe(10);
  const during = await liveClient(stack, { ...alice, token: unseen });
  await during.result("connect");
  expect(await during.result("count")).toBe(10);
  await during.end();
  await stack.issuer.start();
  const after = await liveClient(stack, alice);
  await after.result("connect");
  expect(await after.result("count")).toBe(10);
  await after.end();
});

test("a Gatehouse that hangs: a running stream goes on, new calls wait in the client's retries", async () => {
  const stream = await begunStream(30);
  const token = await stack.token("alice");
  stack.gatehouse.signal("SIGSTOP");
  const count = client.ask("count");
  expect(await callOnce(stack, { ...alice, token })).toMatchObject({ code: unavailable });
  expect(count.pending()).toBe(true);
  stack.gatehouse.signal("SIGCONT");
  expect(await count.done).toMatchObject({ result: 10 });
  expect(await stream.done).toMatchObject({ result: allRows(30) });
  expect(theDriver()).toEqual(driver);
});

test("SIGTERM: uploads end in peace, a held caller learns why, a running stream goes on, drivers stay and are adopted", async () => {
  const stream = await begunStream(30);
  const bytes = await inspectedBytes(stack);
  const upload = impatient.ask("upload", { megabytes: 256 });
  await until(async () => (await inspectedBytes(stack)) - bytes > 4 * 1024 * 1024, long);
  const bob: ClientOptions = { user: "bob", session: "sjns-platform-dev.main" };
  const held = callOnce(stack, bob);
  await until(async () => (await stack.metrics()).value("gatehouse_holds") === 1, long);
  const { pid } = stack.gatehouse;
  stack.gatehouse.signal("SIGTERM");

  expect(await held).toMatchObject({ code: unavailable, message: "this replica is shutting down; try again" });
  const ready = await fetch(`http://127.0.0.1:${stack.ports.http}/readyz`);
  expect([ready.status, await ready.json()]).toEqual([
    503,
    { ready: false, reasons: ["this replica is ending"], warnings: [] },
  ]);
  expect(upload.pending()).toBe(true);
  expect((await upload.done).error).toBeUndefined();
  expect(await stack.gatehouse.exited()).toBe(0);
  expect(processStart(pid)).toBeUndefined();
  expect(readdirSync(join(stack.folder, "run"))).toEqual([]);
  expect(theDriver()).toEqual(driver);

  await stack.gatehouse.start();
  expect(await client.result("see_view")).toBe(7);
  expect(await stream.done).toMatchObject({ result: allRows(30) });
  expect(theDriver()).toEqual(driver);
});

test("kill -9 of the driver: its query ends, its sessions get SESSION_CHANGED, a new session a new driver", async () => {
  const stream = await begunStream(60);
  process.kill(driver.pid!, "SIGKILL");
  // Once an answer has begun Envoy can only reset it, which PySpark shows as it is; before that PySpark asks again.
  expect((await stream.done).error).toMatch(/\(SESSION_CHANGED\)|Stream removed \(RST_STREAM/);
  // PySpark closes a session that it knows to be gone.
  expect((await client.ask("count").done).error).toMatch(/\(SESSION_CHANGED\)|\[NO_ACTIVE_SESSION\]/);
  await client.result("get_or_create");
  expect(await client.result("count")).toBe(10);
  // Another session of the driver that died, on which nothing was under way.
  const gone = "(SESSION_CHANGED) the driver that held this Spark session is gone";
  expect((await impatient.ask("count").done).error).toContain(gone);
  expect((await client.ask("see_view").done).error).toContain("TABLE_OR_VIEW_NOT_FOUND");
  const ended = (await driverRecords(stack)).filter(({ action }) => action === "ended");
  expect(ended).toMatchObject([{ reason: "died", driver_uid: driver.uid, owner: "alice@local" }]);
  expect(theDriver().uid).not.toBe(driver.uid);
  driver = theDriver();
});

test("kill -9 of Gatehouse and of the driver: still no silent swap", async () => {
  await stack.gatehouse.kill9();
  process.kill(driver.pid!, "SIGKILL");
  await stack.gatehouse.start();
  expect((await client.ask("count").done).error).toContain("(SESSION_CHANGED)");
  await client.result("get_or_create");
  expect(await client.result("count")).toBe(10);
  const ended = (await driverRecords(stack)).filter(({ action }) => action === "ended");
  expect(ended.map(({ driver_uid }) => driver_uid)).toContain(driver.uid);
  driver = theDriver();
});

test("SIGTERM where drivers are not kept: they are ended and audited, and nothing stays", async () => {
  expect(await stack.gatehouse.stop()).toBe(0);
  stack.reconfigure({ runtime: { local: { keep_drivers_on_exit: false } } });
  await stack.gatehouse.start();
  const drivers = stack.drivers();
  expect(drivers.map(({ uid }) => uid)).toContain(driver.uid);
  expect(await stack.gatehouse.stop()).toBe(0);
  expect(drivers.map(({ pid }) => pid && processStart(pid))).toEqual(drivers.map(() => undefined));
  expect(stack.drivers()).toEqual([]);
  expect(existsSync(join(stack.folder, "drivers/runtime.lock"))).toBe(false);
  const ended = (await driverRecords(stack)).filter(({ action, reason }) => action === "ended" && reason === "stopped");
  expect(new Set(ended.map(({ driver_uid }) => driver_uid))).toEqual(new Set(drivers.map(({ uid }) => uid)));
});
