import { randomUUID } from "node:crypto";
import { createAccessLogHandler } from "../edges/envoy/access-log.ts";
import { type Ads, createAds, createEnvoyCache } from "../edges/envoy/ads.ts";
import { createCheckHandler } from "../edges/envoy/check.ts";
import { type CheckHandler, startCheckServer } from "../edges/envoy/check-server.ts";
import { createProcessHandler } from "../edges/envoy/process.ts";
import { beginDecided } from "../edges/envoy/process-begin.ts";
import { processService } from "../edges/envoy/process-codec.ts";
import { beginDeciding } from "../edges/envoy/process-fused.ts";
import { accessLog } from "../edges/envoy/read-access-log.ts";
import { type ControlServer, type ControlServerOptions, startControlServer } from "../edges/envoy/server.ts";
import { createPublisher, type Publisher } from "../flows/publish.ts";
import { afterPause } from "../kernel/pace.ts";
import type { ServerCertificate } from "../snapshots/settings.ts";
import type { Door, Kernel } from "./door.ts";
import { absoluteAddress, type ControlAddresses, snapshotSettings } from "./envoy-settings.ts";
import type { Life } from "./life.ts";

/** What Envoy talks to: four servers, so that held checks or big bodies starve neither ADS nor the access log. */
export interface Control {
  readonly publisher: Publisher;
  readonly ads: Pick<Ads, "onAcknowledgement">;
  /** Lets calls under way end for `shutdown.drain_seconds`, then cuts them. */
  close(): Promise<void>;
}

export interface ControlParts {
  readonly life: Life;
  readonly door: Door;
  readonly certificate: ServerCertificate;
}

/** Messages of ADS hold all versions that Envoy has when it comes back; those of the others are small. */
const adsReceiveBytes = 16 * 1024 * 1024;

/** Envoy sends what fits into its window for the client, which `listen.stream_window_bytes` may widen. */
const bodyChunkBytes = 4 * 1024 * 1024;

/** How much longer than a hold a decision may take; ext_authz has the same grace. */
const graceMs = 5000;

/** @throws Error when an address cannot be used; what was started is ended first */
export async function startControl(kernel: Kernel, parts: ControlParts): Promise<Control> {
  const servers: Servers = { all: [], draining: [] };
  try {
    return await startAll(kernel, parts, servers);
  } catch (error) {
    for (const server of servers.all) await server.close();
    throw error;
  }
}

interface Servers {
  readonly all: ControlServer[];
  /** Those whose calls end by themselves. The streams of the others last as long as Envoy does. */
  readonly draining: ControlServer[];
}

interface Listening extends Pick<ControlServerOptions, "maxReceiveBytes" | "maxConcurrentStreams"> {
  readonly streamsForEver?: boolean;
}

type Service = ControlServerOptions["services"][number];

interface Listen {
  streams(address: string, service: Service, how?: Listening): Promise<string>;
  checks(address: string, handler: CheckHandler): Promise<string>;
}

async function startAll(kernel: Kernel, parts: ControlParts, servers: Servers): Promise<Control> {
  const { mtls } = kernel.config.control;
  const tls = mtls && { certFile: mtls.certificate_file, keyFile: mtls.private_key_file, caFile: mtls.client_ca_file };
  const common = (address: string) => ({ address: absoluteAddress(address), ...(tls === undefined ? {} : { tls }) });
  const started = (server: ControlServer, streamsForEver: boolean): string => {
    servers.all.push(server);
    if (!streamsForEver) servers.draining.push(server);
    return server.address;
  };
  const listen: Listen = {
    streams: async (address, service, { streamsForEver = false, ...limits } = {}) =>
      started(await startControlServer({ ...common(address), services: [service], ...limits }), streamsForEver),
    checks: async (address, handler) => started(await startCheckServer({ ...common(address), handler }), false),
  };
  const addresses = await startServices(kernel, parts, listen);
  const { publisher, ads } = await startAds(kernel, parts, { addresses, listen });
  return {
    publisher,
    ads,
    async close() {
      // Settled, not all: a server that cannot drain must not keep the others from being closed.
      const drained = Promise.allSettled(servers.draining.map((server) => server.drain()));
      await Promise.race([drained, pause(kernel.config.shutdown.drain_seconds * 1000)]);
      publisher.close();
      ads.close();
      for (const server of servers.all) await server.close();
    },
  };
}

async function startServices(kernel: Kernel, { life, door }: ControlParts, listen: Listen): Promise<ControlAddresses> {
  const { clock, config, log } = kernel;
  const check = createCheckHandler({ authorize: (request) => door.authorize(request), clock, log, newId: randomUUID });
  const Process = createProcessHandler({
    begin:
      config.inspection.mode === "fused"
        ? beginDeciding({ ...door, clock, decideWithinMs: config.hold.limit_seconds * 1000 + graceMs })
        : beginDecided(door.inspect),
    log,
    newId: randomUUID,
  });
  const StreamAccessLogs = createAccessLogHandler({ ...kernel, ...life.recordActivity });
  return {
    check: await listen.checks(config.control.check, check),
    process: await listen.streams(
      config.control.process,
      { definition: processService, implementation: { Process } },
      { maxConcurrentStreams: config.inspection.max_streams, maxReceiveBytes: bodyChunkBytes },
    ),
    accessLog: await listen.streams(
      config.control.access_log,
      { definition: accessLog, implementation: { StreamAccessLogs } },
      { streamsForEver: true },
    ),
  };
}

async function startAds(
  kernel: Kernel,
  { life, certificate }: ControlParts,
  { addresses, listen }: { addresses: ControlAddresses; listen: Listen },
): Promise<{ publisher: Publisher; ads: Ads }> {
  const { config, clock, log } = kernel;
  const cache = createEnvoyCache();
  const publisher = createPublisher({
    registry: life.registry,
    cache,
    certificate,
    clock,
    log,
    settings: snapshotSettings(config, addresses),
    debounceMs: config.xds.debounce_ms,
    ceilingMs: config.xds.debounce_ceiling_ms,
    awaited: () => life.provisioner.holds() > 0,
    nextTurn: afterPause,
  });
  life.publishNow = () => publisher.publishNow();
  const ads = createAds({
    ...kernel,
    cache,
    unknownClusterWaitMs: config.xds.unknown_cluster_wait_ms,
    onUnknownCluster: () => publisher.publishNow(),
  });
  await listen.streams(config.control.ads, ads.service, { maxReceiveBytes: adsReceiveBytes, streamsForEver: true });
  return { publisher, ads };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms).unref());
