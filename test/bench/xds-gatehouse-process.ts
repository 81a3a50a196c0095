import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { loadConfig } from "../../src/config/load.ts";
import type { Driver } from "../../src/drivers/driver.ts";
import type { DriverRuntime, DriverSink } from "../../src/drivers/runtime.ts";
import { createMetrics } from "../../src/edges/http/metrics.ts";
import { createAuditSink } from "../../src/edges/log/audit-sink.ts";
import { createLog } from "../../src/edges/log/log.ts";
import { readCertificate } from "../../src/edges/tls/certificate-files.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { Secret } from "../../src/kernel/secret.ts";
import { driverClusterName } from "../../src/snapshots/cluster-name.ts";
import { startControl } from "../../src/wiring/control.ts";
import { createDoor } from "../../src/wiring/door.ts";
import { createLife } from "../../src/wiring/life.ts";
import { certificateFiles } from "../../src/wiring/settings.ts";
import type { DriverRange, XdsAnswer, XdsOrder } from "./xds-orders.ts";

// Gatehouse as `serve` wires it, with a runtime that is told by its parent which drivers there are:
//   tsx xds-gatehouse-process.ts CONFIG_FILE

let sink: DriverSink | undefined;
const runtime: DriverRuntime = {
  watch(given, signal) {
    sink = given;
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
  },
  start: () => Promise.reject(new Error("this runtime starts nothing")),
  stop: () => Promise.resolve(),
  mayStop: () => true,
  isLed: () => true,
  handedOver: () => undefined,
  faults: () => [],
  shared: false,
  record: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

const config = loadConfig({ file: readFileSync(process.argv[2] ?? "", "utf8"), env: {} });
const log = createLog({ level: "warn" });
const measured = createMetrics();
let connectedAt = 0;
const metrics: typeof measured = {
  ...measured,
  set(name, labels, value) {
    if (name === "gatehouse_xds_streams" && value > 0) connectedAt = performance.now();
    measured.set(name, labels, value);
  },
};
const audit = createAuditSink({ file: config.audit.file, log, metrics });
const kernel = { config, clock: systemClock, log, metrics, audit };
const life = createLife(kernel, runtime);
void runtime.watch(life.registry.sink, new AbortController().signal);
const door = createDoor(kernel, life);
const control = await startControl(kernel, { life, door, certificate: readCertificate(certificateFiles(config)) });
life.reaper.start();

/** What Envoy must acknowledge before the order that is under way is carried out; all names of both types. */
const awaited = new Set<string>();
let done = (): void => undefined;
control.ads.onAcknowledgement(({ typeUrl, error, sent, removed }) => {
  if (error !== undefined) throw new Error(`Envoy refused: ${error}`);
  if (awaited.size === 0) return;
  for (const { name } of sent) awaited.delete(`${typeUrl} ${name}`);
  for (const name of removed) awaited.delete(`${typeUrl} ${name}`);
  if (awaited.size === 0) done();
});

/** As a watch does: a list comes in pages, events come in segments of a stream. */
const changesPerTurn = 50;

const delay = monitorEventLoopDelay({ resolution: 1 });

process.on("message", (order: XdsOrder) => {
  carryOut(order).then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));
process.send?.({});

async function carryOut(order: XdsOrder): Promise<XdsAnswer> {
  if (sink === undefined) throw new Error("the registry is not watching");
  if (order.collect === true) globalThis.gc?.();
  const acknowledged = expectAll(order);
  const appearing = (order.put ?? []).flatMap((range) => driversOf(range));
  if (order.afterMs !== undefined) await pause(order.afterMs);
  const { user, system } = process.cpuUsage();
  delay.reset();
  delay.enable();
  const begun = performance.now();
  for (const [i, driver] of appearing.entries()) {
    if (i > 0 && i % changesPerTurn === 0) await new Promise((resolve) => void setImmediate(resolve));
    sink.upsert(driver);
  }
  for (const range of order.remove ?? []) {
    for (let i = range.from; i < range.to; i += 1) {
      const { uid, key } = driver(i, range);
      sink.remove({ uid, key, cause: "stopped", summary: "", at: Date.now() });
    }
  }
  if (order.synced === true) sink.synced();
  const gaveMs = performance.now() - begun;
  await acknowledged;
  const ended = performance.now();
  delay.disable();
  const spent = process.cpuUsage();
  const cpuMs = (spent.user + spent.system - user - system) / 1000;
  const spans = { ms: ended - begun, sinceConnectMs: ended - connectedAt, gaveMs };
  return { ...spans, cpuMs, longestPauseMs: delay.max / 1e6, rssKb: process.memoryUsage.rss() / 1024 };
}

const typeOf = {
  cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  endpoints: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
} as const;

function expectAll(order: XdsOrder): Promise<void> {
  for (const kind of order.expect ?? []) {
    for (const range of [...(order.put ?? []), ...(order.remove ?? []), ...(order.awaiting ?? [])]) {
      for (let i = range.from; i < range.to; i += 1)
        awaited.add(`${typeOf[kind]} ${driverClusterName(driver(i, range))}`);
    }
  }
  if (awaited.size === 0) return Promise.resolve();
  return new Promise((resolve) => {
    done = resolve;
  });
}

function driversOf(range: DriverRange): Driver[] {
  return Array.from({ length: range.to - range.from }, (_, at) => driver(range.from + at, range));
}

function driver(i: number, { port, host, app }: DriverRange): Driver {
  return {
    uid: `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`,
    name: `driver-${i}`,
    key: { cluster: config.cluster, namespace: "sjns-analytics-dev", app: app ?? `app-${i}` },
    owner: "alice@local",
    ownerUser: "alice",
    sharedWithGroups: [],
    profile: "plain",
    phase: "ready",
    address: { host: host ?? `127.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`, port },
    token: new Secret(`token-${i}`),
    createdAt: Date.now(),
    draining: undefined,
    failure: undefined,
    recorded: undefined,
  };
}
