import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Clock } from "../../kernel/clock.ts";
import { GrpcStatus } from "../../kernel/grpc-status.ts";
import type { Log } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/metrics.ts";
import { afterPause } from "../../kernel/pace.ts";
import { typeUrls } from "../../snapshots/resource.ts";
import {
  type Acknowledgement,
  createDeltaStream,
  type DeltaResponse,
  type DeltaStream,
} from "../../xds/delta-stream.ts";
import type { ResourceCache } from "../../xds/resource-cache.ts";
import type { UnknownNames } from "../../xds/subscription.ts";
import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "./protos-discovery.ts";

export type Call = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/** An acknowledgement or a refusal, and whose. */
export interface AdsAcknowledgement extends Acknowledgement {
  /** `node.id` of the Envoy. */
  readonly node: string;
}

export interface StreamOptions {
  readonly cache: ResourceCache;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly unknown: UnknownNames;
  readonly acknowledged: (acknowledgement: AdsAcknowledgement) => void;
  readonly ended: () => void;
}

interface Stream {
  readonly call: Call;
  readonly options: StreamOptions;
  readonly delta: DeltaStream;
  node: string;
  log: Log;
  over: boolean;
  /** A response is on its way out, or was sent in this turn of the event loop. */
  sending: boolean;
  cancelWake: () => void;
  unlisten: () => void;
}

const sendOrder = [typeUrls.cluster, typeUrls.endpoints, typeUrls.secret, typeUrls.listener, typeUrls.route];

/** Binds the protocol's state to one stream until it ends. Nothing that the client sends can throw out of here. */
export function serveStream(call: Call, options: StreamOptions): void {
  const { cache, unknown, log } = options;
  const delta = createDeltaStream({
    cache,
    unknown,
    order: sendOrder,
    wildcardTypes: [typeUrls.cluster, typeUrls.listener],
    clusterType: typeUrls.cluster,
    endpointsType: typeUrls.endpoints,
  });
  const nothing = (): void => undefined;
  const stream: Stream = {
    call,
    options,
    delta,
    node: "",
    log,
    over: false,
    sending: false,
    cancelWake: nothing,
    unlisten: nothing,
  };
  stream.unlisten = cache.onChange((change) => {
    guarded(stream, () => {
      delta.changed(change);
      pump(stream);
    });
  });
  call.on("data", (request: DeltaDiscoveryRequest) => guarded(stream, () => takeRequest(stream, request)));
  call.on("end", () => {
    finish(stream);
    call.end();
  });
  for (const event of ["error", "close", "cancelled"]) call.on(event, () => finish(stream));
}

function takeRequest(stream: Stream, request: DeltaDiscoveryRequest): void {
  const { metrics, acknowledged } = stream.options;
  const id = request.node?.id;
  if (id !== undefined && stream.node === "") {
    stream.node = id.slice(0, 256);
    stream.log = stream.log.child({ node: stream.node });
    stream.log.info("Envoy connected");
  }
  const acknowledgement = takeIn(stream.delta, request);
  if (acknowledgement !== undefined) {
    note(acknowledgement, stream.log, metrics);
    acknowledged({ ...acknowledgement, node: stream.node });
  }
  pump(stream);
}

/** A response of so many is no part of a big push: what comes after it, such as the endpoints of one cluster, comes at once. */
const fewResources = 10;

/**
 * Sends one response; the next one when this one is out and after a pause, so that a big push does not keep decisions
 * waiting. What is not sent stays in `delta` as names: a slow reader costs no more than a fast one, and gets what
 * is true when it reads.
 */
function pump(stream: Stream): void {
  const { clock, metrics } = stream.options;
  stream.cancelWake();
  if (stream.sending) return;
  const begun = performance.now();
  const response = stream.delta.next(clock.now());
  if (response !== undefined) {
    stream.sending = true;
    metrics.count("gatehouse_xds_pushes_total", { type: shortType(response.typeUrl) });
    let tookMs = 0;
    stream.call.write(onTheWire(response), () => void afterPause(tookMs, () => sent(stream)));
    if (response.resources.length > fewResources) tookMs = performance.now() - begun;
    return;
  }
  const wake = stream.delta.wakeAt();
  if (wake === undefined) return;
  stream.cancelWake = clock.after(Math.max(1, wake - clock.now()), () => guarded(stream, () => pump(stream)));
}

function sent(stream: Stream): void {
  stream.sending = false;
  guarded(stream, () => pump(stream));
}

function guarded(stream: Stream, task: () => void): void {
  if (stream.over) return;
  try {
    task();
  } catch (error) {
    finish(stream);
    stream.log.error("an ADS stream failed and was ended", { error });
    stream.call.emit("error", { code: GrpcStatus.RESOURCE_EXHAUSTED, details: "this stream cannot be served" });
  }
}

function finish(stream: Stream): void {
  if (stream.over) return;
  stream.over = true;
  stream.cancelWake();
  stream.unlisten();
  stream.options.ended();
}

function takeIn(delta: DeltaStream, request: DeltaDiscoveryRequest): Acknowledgement | undefined {
  const { error_detail: refused } = request;
  return delta.request({
    typeUrl: request.type_url ?? "",
    subscribe: request.resource_names_subscribe,
    unsubscribe: request.resource_names_unsubscribe,
    initialVersions: request.initial_resource_versions,
    nonce: request.response_nonce ?? "",
    error: refused === undefined ? undefined : (refused.message ?? `code ${refused.code ?? 0}`),
  });
}

function note(acknowledgement: Acknowledgement, log: Log, metrics: Metrics): void {
  const type = shortType(acknowledgement.typeUrl);
  if (acknowledgement.error === undefined) {
    metrics.count("gatehouse_xds_acks_total", { type });
    return;
  }
  metrics.count("gatehouse_xds_nacks_total", { type });
  log.error("Envoy refused resources", {
    type,
    detail: acknowledgement.error.slice(0, 2000),
    resources: acknowledgement.sent.slice(0, 20),
    count: acknowledgement.sent.length,
  });
}

function onTheWire({ typeUrl, nonce, resources, removed }: DeltaResponse): DeltaDiscoveryResponse {
  return {
    type_url: typeUrl,
    nonce,
    resources: resources.map(({ name, version, bytes }) => ({
      name,
      version,
      resource: { type_url: typeUrl, value: bytes },
    })),
    removed_resources: removed,
  };
}

const shortTypes = new Map<string, string>(Object.entries(typeUrls).map(([short, url]) => [url, short]));

/** The label of a type in metrics and logs; whatever a client makes up is "other". */
function shortType(typeUrl: string): string {
  return shortTypes.get(typeUrl) ?? "other";
}
