import { readFileSync } from "node:fs";
import {
  Client,
  type ClientReadableStream,
  credentials,
  type handleServerStreamingCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { sparkMethods } from "../../src/spark/methods.ts";

const raw = (bytes: Buffer): Buffer => bytes;

/** A gRPC server with Spark Connect's methods that echoes bytes and notes what arrives: what a driver would have seen. */
export interface RawDriver {
  readonly host: string;
  readonly port: number;
  /** The headers of each call, in order of arrival. */
  readonly seen: { readonly path: string; readonly headers: Readonly<Record<string, string>> }[];
  close(): void;
}

/**
 * Every method answers one message with the same bytes, except ExecutePlan: it answers and stays open for ever.
 * @param wanted port; 0 for a free one
 */
export async function startRawDriver(host = "127.0.0.1", wanted = 0): Promise<RawDriver> {
  const server = new Server();
  const seen: RawDriver["seen"] = [];
  const handlers: Record<string, handleServerStreamingCall<Buffer, Buffer>> = {};
  const definition = Object.fromEntries(
    sparkMethods.map(({ name, path }) => {
      handlers[name] = (call: ServerWritableStream<Buffer, Buffer>) => {
        seen.push({ path, headers: plain(call.metadata) });
        call.write(call.request);
        if (name !== "ExecutePlan") call.end();
      };
      const codecs = {
        requestSerialize: raw,
        requestDeserialize: raw,
        responseSerialize: raw,
        responseDeserialize: raw,
      };
      return [name, { path, requestStream: false, responseStream: true, ...codecs }];
    }),
  );
  server.addService(definition, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${wanted}`, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { host, port, seen, close: () => server.forceShutdown() };
}

/** How a call ended. */
export interface RawAnswer {
  readonly code: number;
  readonly message: string;
  readonly body: Buffer | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
}

/** A client of an Envoy that trusts this authority and speaks bytes. */
export interface RawClient {
  call(path: string, headers?: Readonly<Record<string, string>>): Promise<RawAnswer>;
  /** Opens an answer stream; `stream.once("data")` says that the driver has it. */
  stream(path: string, headers?: Readonly<Record<string, string>>): ClientReadableStream<Buffer>;
  close(): void;
}

export function rawClient(port: number, caFile: string): RawClient {
  const client = new Client(`localhost:${port}`, credentials.createSsl(readFileSync(caFile)));
  const stream: RawClient["stream"] = (path, headers = {}) => {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    return client.makeServerStreamRequest(path, raw, raw, Buffer.from("ping"), metadata);
  };
  return {
    stream,
    async call(path, headers) {
      const call = stream(path, headers);
      let first: Metadata | undefined;
      let body: Buffer | undefined;
      call.on("metadata", (metadata) => {
        first = metadata;
      });
      call.on("data", (bytes: Buffer) => {
        body = bytes;
      });
      call.on("error", () => undefined);
      return await new Promise((resolve) => {
        call.on("status", ({ code, details, metadata }) =>
          resolve({ code, message: details, body, headers: plain(first), trailers: plain(metadata) }),
        );
      });
    },
    close: () => client.close(),
  };
}

function plain(metadata: Metadata | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata?.getMap() ?? {}).map(([name, value]) => [name, String(value)]));
}
