import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { MethodDefinition } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import protobuf from "protobufjs";
import type { RpcStatus } from "./protos-common.ts";
import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "./protos-discovery.ts";
import type { StreamAccessLogsMessage } from "./protos-log.ts";
import type { ProcessingRequest, ProcessingResponse } from "./protos-process.ts";

// The same relative path from src/edges/envoy and from dist/edges/envoy.
const protoRoot = fileURLToPath(new URL("../../../protos/", import.meta.url));

function loadProtos(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(protoRoot, target);
  const files = readdirSync(protoRoot, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".proto"));
  root.loadSync(files.sort(), { keepCase: true });
  root.resolveAll();
  return root;
}

/** The loaded contracts of `protos/`, field names as in the files (snake_case). */
export const protos: protobuf.Root = loadProtos();

/**
 * How messages look after decoding. 64-bit integers are numbers (byte counts and seconds stay far below 2^53), enums are
 * their names (a number where the name is unknown to us), bytes are Buffers that share the message's memory. Repeated
 * fields and maps are always there; every other field is absent when it has its default value. A oneof's name holds the
 * name of the member that is set. `google.protobuf` types: a wrapper is `{ value }`, Duration and Timestamp
 * `{ seconds, nanos }`, Any `{ type_url, value }`; Struct see `encode-struct.ts`.
 */
const decoded: protobuf.IConversionOptions = {
  longs: Number,
  enums: String,
  defaults: false,
  arrays: true,
  objects: true,
  oneofs: true,
};

/** Encodes and decodes one message type. Encoding takes enums by name or number, and unknown fields are ignored. */
interface Codec<T extends object> {
  readonly encode: (message: T) => Buffer;
  /** @throws when the bytes are not a message of this type */
  readonly decode: (bytes: Uint8Array) => T;
}

/**
 * The codec of a message type by its full name, e.g. `google.rpc.Status`.
 * @throws when `protos/` has no such type
 */
export function codec<T extends object>(fullName: string): Codec<T> {
  const type = protos.lookupType(fullName);
  return {
    encode(message) {
      const bytes = type.encode(type.fromObject(message)).finish();
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    decode: (bytes) => type.toObject(type.decode(bytes), decoded) as T,
  };
}

const services = fromJSON(protos.toJSON(), decoded);

/** @throws when `protos/` has no such method */
function method<Request extends object, Response extends object>(
  serviceName: string,
  name: string,
): MethodDefinition<Request, Response> {
  const service = services[serviceName];
  const found = service === undefined || "format" in service ? undefined : service[name];
  if (found === undefined) throw new Error(`protos/ has no method ${serviceName}/${name}`);
  return found as unknown as MethodDefinition<Request, Response>;
}

/** `envoy.service.ext_proc.v3.ExternalProcessor`: ext_proc. */
export const externalProcessorService = {
  Process: method<ProcessingRequest, ProcessingResponse>("envoy.service.ext_proc.v3.ExternalProcessor", "Process"),
};

/** `envoy.service.accesslog.v3.AccessLogService`: the client streams, one empty answer at the end. */
export const accessLogService = {
  StreamAccessLogs: method<StreamAccessLogsMessage, object>(
    "envoy.service.accesslog.v3.AccessLogService",
    "StreamAccessLogs",
  ),
};

/** `envoy.service.discovery.v3.AggregatedDiscoveryService`: delta only. */
export const discoveryService = {
  DeltaAggregatedResources: method<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(
    "envoy.service.discovery.v3.AggregatedDiscoveryService",
    "DeltaAggregatedResources",
  ),
};

/**
 * `google.rpc.Status`, whose details go in as `{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", ... }` (also
 * RetryInfo) and come out as `{ type_url, value }`.
 */
export const rpcStatus: Codec<RpcStatus> = codec("google.rpc.Status");
