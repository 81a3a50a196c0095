import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { ensureCertificates, rotateServerCertificate } from "../../deploy/local/certificates.ts";
import type { Driver } from "../../src/drivers/driver.ts";
import { createRegistry, type Registry } from "../../src/drivers/registry.ts";
import { type Ads, createAds, createEnvoyCache } from "../../src/edges/envoy/ads.ts";
import { type CheckAnswer, type CheckCall, startCheckServer } from "../../src/edges/envoy/check-server.ts";
import { bootstrapOf } from "../../src/edges/envoy/encode-bootstrap.ts";
import { processService } from "../../src/edges/envoy/process-codec.ts";
import { accessLogService } from "../../src/edges/envoy/protos.ts";
import type { HttpAccessLogEntry, StreamAccessLogsMessage } from "../../src/edges/envoy/protos-log.ts";
import type { ProcessingRequest, ProcessingResponse } from "../../src/edges/envoy/protos-process.ts";
import { type ControlServer, startControlServer } from "../../src/edges/envoy/server.ts";
import { createPublisher, type Publisher } from "../../src/flows/publish.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { Secret } from "../../src/kernel/secret.ts";
import { defaultListenerLimits, type ServerCertificate, type SnapshotSettings } from "../../src/snapshots/settings.ts";
import { type CountingMetrics, countingMetrics } from "./counting-metrics.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

/** Gatehouse's side of Envoy: real snapshots, xDS and servers; scripted decisions, inspection and log. */
export interface EnvoyWorld {
  readonly folder: string;
  readonly registry: Registry;
  readonly metrics: CountingMetrics;
  readonly warnings: LogLine[];
  readonly checks: CheckCall[];
  readonly processed: ProcessingRequest[];
  readonly entries: HttpAccessLogEntry[];
  /** The answer to every check. */
  decide: (call: CheckCall) => CheckAnswer | Promise<CheckAnswer>;
  /** What ext_proc does with each call; passes everything on at first. */
  process: (call: ProcessCall) => void;
  ads: Ads;
  publisher: Publisher;
  readonly bootstrap: object;
  /** Starts the ADS server and a publisher on a new, empty cache, as a fresh Gatehouse would. */
  startAds(): Promise<void>;
  stopAds(): Promise<void>;
  /** Puts a new certificate in place; returns its serial number. */
  rotate(): Promise<string>;
  readonly caFile: string;
  /** The servers of ext_authz, ext_proc and access log, away and back. */
  stopControl(): Promise<void>;
  startControl(): Promise<void>;
  close(): Promise<void>;
}

export async function startEnvoyWorld(inspection: SnapshotSettings["inspection"] = "separate"): Promise<EnvoyWorld> {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-envoy-"));
  const certificates = await ensureCertificates(folder);
  const warnings: LogLine[] = [];
  const log = recordingLog(warnings);
  const metrics = countingMetrics();
  const registry = createRegistry({ clock: systemClock, log, metrics });
  const socket = (name: string) => `unix:${join(folder, "sockets", `${name}.sock`)}`;
  const settings = { ...settingsFor(socket), inspection };
  const certificate = (): ServerCertificate => ({
    chain: readFileSync(certificates.certFile, "utf8"),
    key: new Secret(readFileSync(certificates.keyFile, "utf8")),
  });
  let adsServer: ControlServer | undefined;
  let control: readonly ControlServer[] = [];
  const part = (): Pick<EnvoyWorld, "ads" | "publisher"> => {
    const cache = createEnvoyCache();
    const publisher = createPublisher({
      registry,
      cache,
      settings,
      certificate: certificate(),
      clock: systemClock,
      log,
    });
    const onUnknownCluster = () => publisher.publishNow();
    return { publisher, ads: createAds({ cache, clock: systemClock, log, metrics, onUnknownCluster }) };
  };
  const world: EnvoyWorld = {
    folder,
    registry,
    metrics,
    warnings,
    checks: [],
    processed: [],
    entries: [],
    decide: () => ({ status: 401, headers: [] }),
    process: (call) => pass(world, call),
    ...part(),
    bootstrap: bootstrapOf({
      nodeId: "envoy-test",
      ads: { address: socket("ads"), maxRequests: 16 },
      admin: "127.0.0.1:0",
      maxConnections: 1000,
    }),
    async startAds() {
      Object.assign(world, part());
      const { definition, implementation } = world.ads.service;
      adsServer = await startControlServer({
        address: socket("ads"),
        services: [{ definition, implementation }],
        maxReceiveBytes: 16 * 1024 * 1024,
      });
    },
    async stopAds() {
      world.publisher.close();
      await adsServer?.close();
      adsServer = undefined;
    },
    async rotate() {
      const serial = await rotateServerCertificate(folder);
      world.publisher.setCertificate(certificate());
      return serial;
    },
    caFile: certificates.caFile,
    async stopControl() {
      await Promise.all(control.map((server) => server.close()));
      control = [];
    },
    async startControl() {
      control = await startScripted(world, socket);
    },
    async close() {
      await world.stopAds();
      await world.stopControl();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  world.publisher.close();
  await world.startControl();
  return world;
}

function settingsFor(socket: (name: string) => string): SnapshotSettings {
  const endpoint = (name: string) => ({ address: socket(name), maxRequests: 1024 });
  return {
    listen: { host: "127.0.0.1", port: 0, minTls: "TLSv1.2" },
    check: endpoint("check"),
    process: endpoint("control"),
    accessLog: endpoint("control"),
    inspection: "separate",
    holdLimitMs: 10_000,
    activityIntervalMs: 500,
    limits: defaultListenerLimits,
  };
}

async function startScripted(world: EnvoyWorld, socket: (name: string) => string): Promise<ControlServer[]> {
  const services = [
    { definition: processService, implementation: { Process: (call: ProcessCall) => world.process(call) } },
    {
      definition: accessLogService,
      implementation: {
        StreamAccessLogs(call: {
          on(event: "data", listener: (message: StreamAccessLogsMessage) => void): void;
          on(event: "error", listener: () => void): void;
        }) {
          call.on("error", () => undefined);
          call.on("data", (message) => world.entries.push(...(message.http_logs?.log_entry ?? [])));
        },
      },
    },
  ];
  const check = await startCheckServer({
    address: socket("check"),
    handler: {
      async decide(call) {
        world.checks.push(call);
        return await world.decide(call);
      },
      unreadable: async () => ({ status: 400, headers: [] }),
      refuse: () => ({ status: 500, headers: [] }),
    },
  });
  return [check, await startControlServer({ address: socket("control"), services })];
}

export type ProcessCall = ServerDuplexStream<ProcessingRequest, ProcessingResponse>;

/** Passes every body on as it is. */
function pass(world: EnvoyWorld, call: ProcessCall): void {
  call.on("error", () => undefined);
  call.on("end", () => call.end());
  call.on("data", (message) => {
    world.processed.push(message);
    const { request_body: body } = message;
    if (message.request_headers !== undefined) call.write({ request_headers: {} });
    if (body !== undefined) {
      call.write({ request_body: { response: { body_mutation: { streamed_response: { ...body } } } } });
    }
    if (message.request_trailers !== undefined) call.write({ request_trailers: {} });
  });
}

/** A driver of the registry that listens there. */
export function driverAt(app: string, address: { host: string; port: number }, more: Partial<Driver> = {}): Driver {
  return {
    uid: `uid-${app}`,
    name: app,
    key: { cluster: "local", namespace: "sjns-data-dev", app },
    owner: "alice@dev",
    ownerUser: "alice",
    sharedWithGroups: [],
    profile: "interactive",
    phase: "ready",
    address,
    token: undefined,
    createdAt: 1,
    draining: undefined,
    failure: undefined,
    recorded: undefined,
    ...more,
  };
}
