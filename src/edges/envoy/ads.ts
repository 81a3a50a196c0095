import { hash } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/metrics.ts";
import { isDriverClusterName } from "../../snapshots/cluster-name.ts";
import { typeUrls } from "../../snapshots/resource.ts";
import { createResourceCache, type ResourceCache } from "../../xds/resource-cache.ts";
import type { UnknownNames } from "../../xds/subscription.ts";
import { type AdsAcknowledgement, type Call, serveStream } from "./ads-stream.ts";
import { encodeResource } from "./encode.ts";
import { createEncoder } from "./encode-drivers.ts";
import { discoveryService } from "./protos.ts";

export interface AdsOptions {
  readonly cache: ResourceCache;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** How long a well-formed driver cluster that nobody knows is awaited, in milliseconds. Default 2,000. */
  readonly unknownClusterWaitMs?: number;
  /** Envoy asks for a driver's cluster that is not published: somebody's call waits for it. */
  readonly onUnknownCluster?: (name: string) => void;
}

export interface Ads {
  /** For `startControlServer`. Its server must read messages of a few MiB: Envoy comes back with all versions at once. */
  readonly service: {
    readonly definition: typeof discoveryService;
    readonly implementation: { DeltaAggregatedResources(call: Call): void };
  };
  /** Returns the function that ends it. */
  onAcknowledgement(listener: (acknowledgement: AdsAcknowledgement) => void): () => void;
  readonly streams: number;
  /** Ends all streams; Envoy keeps what it has and comes back. */
  close(): void;
}

/** A cache whose versions are SHA-256 prefixes of the encoded resources: equal on every replica and after a restart. */
export function createEnvoyCache(): ResourceCache {
  return createResourceCache({ encode: createEncoder(), hash: digest });
}

/** Delta ADS for any number of Envoys. A fault of one stream ends that stream only. */
export function createAds(options: AdsOptions): Ads {
  const calls = new Set<Call>();
  const listeners = new Set<(acknowledgement: AdsAcknowledgement) => void>();
  const unknown = unknownNames(options);
  const count = () => options.metrics.set("gatehouse_xds_streams", {}, calls.size);
  return {
    service: {
      definition: discoveryService,
      implementation: {
        DeltaAggregatedResources(call) {
          calls.add(call);
          count();
          serveStream(call, {
            ...options,
            unknown,
            acknowledged: (acknowledgement) => {
              for (const listener of listeners) listener(acknowledgement);
            },
            ended() {
              calls.delete(call);
              count();
            },
          });
        },
      },
    },
    onAcknowledgement(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    get streams() {
      return calls.size;
    },
    close() {
      for (const call of calls) call.end();
    },
  };
}

/**
 * Unknown endpoints are answered at once, with none: silence would hold up every cluster. An unknown cluster that could
 * be a driver's may have been allowed by another replica a moment ago, so it is awaited.
 */
function unknownNames(options: AdsOptions): UnknownNames {
  return {
    placeholder(typeUrl, name) {
      if (typeUrl !== typeUrls.endpoints) return undefined;
      const bytes = encodeResource(typeUrl, { cluster_name: name });
      return { name, typeUrl, bytes, version: digest(bytes) };
    },
    awaitUntil(typeUrl, name, now) {
      if (typeUrl !== typeUrls.cluster || !isDriverClusterName(name)) return undefined;
      // Not within the stream's own turn: publishing comes back to every stream.
      queueMicrotask(() => options.onUnknownCluster?.(name));
      return now + (options.unknownClusterWaitMs ?? 2000);
    },
  };
}

function digest(bytes: Uint8Array): string {
  return hash("sha256", bytes, "hex").slice(0, 16);
}
