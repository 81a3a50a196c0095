import { Client, type ClientDuplexStream, credentials } from "@grpc/grpc-js";
import { decodeResource } from "../../src/edges/envoy/encode.ts";
import { discoveryService } from "../../src/edges/envoy/protos.ts";
import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "../../src/edges/envoy/protos-discovery.ts";
import { typeUrls } from "../../src/snapshots/resource.ts";

type Kind = keyof typeof typeUrls;

/** A response, in short. */
export interface Received {
  /** Our short name of the type, or the type URL where we have none. */
  readonly kind: string;
  readonly nonce: string;
  /** Names of the resources, in order. */
  readonly names: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
  readonly removed: readonly string[];
  /** A resource's content. */
  content(name: string): Record<string, unknown>;
}

export interface Ask {
  readonly subscribe?: readonly string[];
  readonly unsubscribe?: readonly string[];
  readonly initial?: Readonly<Record<string, string>>;
}

/** A delta ADS client that does what the test says and nothing by itself: no subscription, no ACK. */
export interface XdsClient {
  ask(kind: Kind, ask?: Ask): void;
  ack(response: Received): void;
  nack(response: Received, why: string): void;
  /** The next response. @throws Error after 5 s */
  next(): Promise<Received>;
  /** The same, acknowledged. */
  take(): Promise<Received>;
  /** Everything that the server has sent because of what happened so far, without acknowledging it. */
  settled(): Promise<readonly Received[]>;
  /** How the stream ended. */
  readonly ended: Promise<{ readonly code: number; readonly message: string }>;
  close(): void;
}

export function connectXds(address: string, node = "scripted"): XdsClient {
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
  });
  const { path, requestSerialize, responseDeserialize } = discoveryService.DeltaAggregatedResources;
  const stream: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = client.makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
  );
  const inbox: Received[] = [];
  let wake = (): void => undefined;
  stream.on("data", (response: DeltaDiscoveryResponse) => {
    inbox.push(shortened(response));
    wake();
  });
  const ended = new Promise<{ code: number; message: string }>((resolve) => {
    stream.on("status", ({ code, details }) => resolve({ code, message: details }));
  });
  stream.on("error", () => undefined);
  let first = true;
  const send = (typeUrl: string, request: Partial<DeltaDiscoveryRequest>): void => {
    stream.write({
      ...(first ? { node: { id: node, cluster: "gatehouse" } } : {}),
      type_url: typeUrl,
      resource_names_subscribe: [],
      resource_names_unsubscribe: [],
      initial_resource_versions: {},
      ...request,
    });
    first = false;
  };
  const next = async (): Promise<Received> => {
    const deadline = Date.now() + 5000;
    while (inbox.length === 0) {
      if (Date.now() > deadline) throw new Error("no response within 5 s");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return inbox.shift()!;
  };
  const answer = (response: Received, error?: string): void => {
    const url = typeUrls[response.kind as Kind];
    send(url, {
      response_nonce: response.nonce,
      ...(error === undefined ? {} : { error_detail: { code: 13, message: error } }),
    });
  };
  let fences = 0;
  return {
    ask: (kind, { subscribe = [], unsubscribe = [], initial = {} } = {}) =>
      send(typeUrls[kind], {
        resource_names_subscribe: subscribe,
        resource_names_unsubscribe: unsubscribe,
        initial_resource_versions: initial,
      }),
    ack: (response) => answer(response),
    nack: answer,
    next,
    async take() {
      const response = await next();
      answer(response);
      return response;
    },
    async settled() {
      // A type of its own, about which there is always an answer: whatever was to be sent before it comes before it.
      fences += 1;
      const fence = `fence-${fences}`;
      send("type.googleapis.com/test.Fence", { resource_names_subscribe: [fence] });
      const before: Received[] = [];
      for (let one = await next(); !one.removed.includes(fence); one = await next()) before.push(one);
      return before;
    },
    ended,
    close() {
      stream.cancel();
      client.close();
    },
  };
}

function shortened(response: DeltaDiscoveryResponse): Received {
  const typeUrl = response.type_url ?? "";
  const kind = Object.entries(typeUrls).find(([, url]) => url === typeUrl)?.[0] ?? typeUrl;
  const bytes = new Map(
    response.resources.map(({ name, resource }) => [name, "value" in resource ? (resource.value as Uint8Array) : null]),
  );
  return {
    kind,
    nonce: response.nonce ?? "",
    names: response.resources.map(({ name }) => name),
    versions: Object.fromEntries(response.resources.map(({ name, version }) => [name, version])),
    removed: response.removed_resources,
    content: (name) => decodeResource(typeUrl, bytes.get(name) ?? new Uint8Array()),
  };
}
