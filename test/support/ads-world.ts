import { type Ads, createAds, createEnvoyCache } from "../../src/edges/envoy/ads.ts";
import { type ControlServer, startControlServer } from "../../src/edges/envoy/server.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { typeUrls } from "../../src/snapshots/resource.ts";
import type { Acknowledgement } from "../../src/xds/delta-stream.ts";
import type { ResourceCache } from "../../src/xds/resource-cache.ts";
import { type CountingMetrics, countingMetrics } from "./counting-metrics.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { connectXds, type XdsClient } from "./xds-client.ts";

/** Small made-up resources: a cluster's number is its connect timeout, an endpoint's is its port. */
export interface Published {
  readonly clusters?: Readonly<Record<string, number>>;
  readonly endpoints?: Readonly<Record<string, number>>;
  readonly secret?: string;
  readonly listener?: string;
  readonly route?: string;
}

/** A real ADS server with scripted contents, and what it noted. */
export interface AdsWorld {
  readonly address: string;
  readonly ads: Ads;
  readonly cache: ResourceCache;
  readonly metrics: CountingMetrics;
  /** Warnings and errors. */
  readonly lines: readonly LogLine[];
  /** Unknown driver clusters that were asked for. */
  readonly unknown: readonly string[];
  readonly acknowledgements: readonly Acknowledgement[];
  publish(published: Published): void;
  connect(): XdsClient;
  /** A client that has asked for everything as Envoy does and has acknowledged it. */
  settledEnvoy(): Promise<XdsClient>;
  close(): Promise<void>;
}

/** Unknown driver clusters are awaited for 300 ms. */
export async function startAdsWorld(): Promise<AdsWorld> {
  const cache = createEnvoyCache();
  const metrics = countingMetrics();
  const lines: LogLine[] = [];
  const unknown: string[] = [];
  const acknowledgements: Acknowledgement[] = [];
  const clients: XdsClient[] = [];
  const ads = createAds({
    cache,
    clock: systemClock,
    log: recordingLog(lines),
    metrics,
    onUnknownCluster: (name) => void unknown.push(name),
    unknownClusterWaitMs: 300,
  });
  ads.onAcknowledgement((one) => acknowledgements.push(one));
  const { definition, implementation } = ads.service;
  const server: ControlServer = await startControlServer({
    address: "127.0.0.1:0",
    services: [{ definition, implementation }],
    maxReceiveBytes: 8 * 1024 * 1024,
  });
  const connect = (): XdsClient => {
    const client = connectXds(server.address);
    clients.push(client);
    return client;
  };
  return {
    address: server.address,
    ads,
    cache,
    metrics,
    lines,
    unknown,
    acknowledgements,
    publish: (published) => void cache.replace(resourcesOf(published)),
    connect,
    async settledEnvoy() {
      const client = connect();
      client.ask("cluster");
      const { names } = await client.take();
      client.ask("endpoints", { subscribe: names });
      client.ask("listener");
      client.ask("secret", { subscribe: ["gatehouse-server"] });
      client.ask("route", { subscribe: ["gatehouse"] });
      for (let i = 0; i < 4; i += 1) await client.take();
      return client;
    },
    async close() {
      for (const client of clients) client.close();
      await server.close();
    },
  };
}

function resourcesOf({ clusters = {}, endpoints = {}, secret = "s", listener = "l", route = "r" }: Published) {
  const chain = { inline_string: secret };
  return {
    [typeUrls.cluster]: new Map(
      Object.entries(clusters).map(([name, seconds]) => [name, { name, type: "EDS", connect_timeout: { seconds } }]),
    ),
    [typeUrls.endpoints]: new Map(Object.entries(endpoints).map(([name, port]) => [name, assignment(name, port)])),
    [typeUrls.secret]: new Map([
      ["gatehouse-server", { name: "gatehouse-server", tls_certificate: { certificate_chain: chain } }],
    ]),
    [typeUrls.listener]: new Map([["gatehouse", { name: "gatehouse", stat_prefix: listener }]]),
    [typeUrls.route]: new Map([["gatehouse", { name: "gatehouse", virtual_hosts: [{ name: route, domains: ["*"] }] }]]),
  };
}

function assignment(name: string, port: number): object {
  const endpoint = { address: { socket_address: { address: "127.0.0.1", port_value: port } } };
  return { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] };
}
