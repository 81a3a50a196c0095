import { readFileSync } from "node:fs";
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { GrpcStatus } from "../../kernel/grpc-status.ts";
import { type ControlTlsFiles, listen, refuseOpenAddress } from "./listen.ts";
import type { ControlServer } from "./server.ts";

/** Answers one call: the message that came, and the one that goes back. What it throws ends the call as INTERNAL. */
export type UnaryHandler = (message: Buffer, call: UnaryCall) => Promise<Uint8Array>;

export interface UnaryCall {
  /** Aborted when the caller gives up. Made when first asked for: most calls are over before anybody could. */
  readonly signal: AbortSignal;
}

export interface UnaryServerOptions {
  /** See `ControlServerOptions.address`. */
  readonly address: string;
  readonly tls?: ControlTlsFiles;
  /** `/package.Service/Method`; every other is UNIMPLEMENTED. */
  readonly path: string;
  readonly handle: UnaryHandler;
  /** The largest message that is read, in bytes; a larger one ends its call with RESOURCE_EXHAUSTED. Default 1 MiB. */
  readonly maxReceiveBytes?: number;
  /** Calls at once on one connection. Default 4096. */
  readonly maxConcurrentStreams?: number;
}

const connectionWindow = 4 * 1024 * 1024;

/**
 * One unary gRPC method on the platform's own HTTP/2: gRPC's framing is five bytes, and without grpc-js's layers a call
 * costs about half. For callers of our own installation; compression and deadlines are not taken (Envoy uses neither:
 * it resets the stream when its time is over).
 * @throws Error when the address cannot be used: the message says why
 */
export async function startUnaryServer(options: UnaryServerOptions): Promise<ControlServer> {
  const server = http2Server(options);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.setLocalWindowSize(connectionWindow);
  });
  server.on("stream", (stream, headers) => serve(options, stream, headers));
  const listening = await listen(options.address, (socket: Socket) => void server.emit("connection", socket));
  const over = () =>
    Promise.all([...sessions].map((session) => new Promise<void>((resolve) => session.once("close", () => resolve()))));
  return {
    address: listening.address,
    async drain() {
      void listening.end();
      const ended = over();
      for (const session of sessions) session.close();
      await ended;
    },
    async close() {
      const closed = listening.end();
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}

function http2Server({
  address,
  tls,
  maxConcurrentStreams = 4096,
}: UnaryServerOptions): Http2Server | Http2SecureServer {
  const settings = { maxConcurrentStreams };
  if (tls === undefined) {
    refuseOpenAddress(address);
    return createServer({ settings });
  }
  return createSecureServer({
    settings,
    allowHTTP1: false,
    minVersion: "TLSv1.2",
    requestCert: true,
    rejectUnauthorized: true,
    cert: readFileSync(tls.certFile),
    key: readFileSync(tls.keyFile),
    ca: readFileSync(tls.caFile),
  });
}

const responseHeaders = { ":status": 200, "content-type": "application/grpc" };
const withTrailers = { waitForTrailers: true };
const trailers = { "grpc-status": "0" };
const prefixBytes = 5;

/** A stream that fails tells so by closing, which is when it counts. */
const ignored = (): void => undefined;

function sendTrailers(this: ServerHttp2Stream): void {
  this.sendTrailers(trailers);
}

function serve(options: UnaryServerOptions, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  stream.on("error", ignored);
  if (headers[":path"] !== options.path || headers[":method"] !== "POST") {
    refuse(stream, GrpcStatus.UNIMPLEMENTED, "there is no such method here");
    return;
  }
  const call = new Call(options, stream);
  stream.on("data", (chunk: Buffer) => call.take(chunk));
  stream.on("end", () => call.ended());
  stream.on("close", () => call.closed());
}

/** Ends the call without an answer (Trailers-Only). The rest of what the caller sends is not read. */
function refuse(stream: ServerHttp2Stream, status: number, message: string): void {
  if (stream.destroyed || stream.headersSent) return;
  stream.resume();
  stream.respond({ ...responseHeaders, "grpc-status": String(status), "grpc-message": message }, { endStream: true });
}

/** One call from its first byte to its answer. */
class Call implements UnaryCall {
  readonly #options: UnaryServerOptions;
  readonly #stream: ServerHttp2Stream;
  #received: Buffer | undefined;
  #state: "receiving" | "handling" | "over" = "receiving";
  #aborter: AbortController | undefined;

  constructor(options: UnaryServerOptions, stream: ServerHttp2Stream) {
    this.#options = options;
    this.#stream = stream;
  }

  get signal(): AbortSignal {
    this.#aborter ??= new AbortController();
    if (this.#state === "over") this.#aborter.abort();
    return this.#aborter.signal;
  }

  take(chunk: Buffer): void {
    if (this.#state === "over") return;
    if (this.#state === "handling") {
      this.#refuse(GrpcStatus.INVALID_ARGUMENT, "a unary call has one message");
      return;
    }
    const received = this.#received === undefined ? chunk : Buffer.concat([this.#received, chunk]);
    this.#received = received;
    if (received.length < prefixBytes) return;
    const length = received.readUInt32BE(1);
    if (received[0] !== 0) this.#refuse(GrpcStatus.UNIMPLEMENTED, "compressed messages are not taken");
    else if (length > (this.#options.maxReceiveBytes ?? 1024 * 1024)) {
      this.#refuse(GrpcStatus.RESOURCE_EXHAUSTED, "the message is too large");
    } else if (received.length > prefixBytes + length) {
      this.#refuse(GrpcStatus.INVALID_ARGUMENT, "a unary call has one message");
    } else if (received.length === prefixBytes + length) this.#handle(received.subarray(prefixBytes));
  }

  /** The caller has sent all. */
  ended(): void {
    if (this.#state === "receiving") this.#refuse(GrpcStatus.INVALID_ARGUMENT, "the message is not complete");
  }

  closed(): void {
    const gaveUp = this.#state === "handling";
    this.#state = "over";
    if (gaveUp) this.#aborter?.abort();
  }

  #handle(message: Buffer): void {
    this.#state = "handling";
    this.#received = undefined;
    const failed = (): void => this.#refuse(GrpcStatus.INTERNAL, "internal error");
    try {
      this.#options.handle(message, this).then((answer) => this.#answer(answer), failed);
    } catch {
      failed();
    }
  }

  #answer(message: Uint8Array): void {
    if (this.#state !== "handling" || this.#stream.destroyed) return;
    this.#state = "over";
    const framed = Buffer.allocUnsafe(prefixBytes + message.length);
    framed[0] = 0;
    framed.writeUInt32BE(message.length, 1);
    framed.set(message, prefixBytes);
    this.#stream.respond(responseHeaders, withTrailers);
    this.#stream.on("wantTrailers", sendTrailers);
    this.#stream.end(framed);
  }

  #refuse(status: number, message: string): void {
    if (this.#state === "handling") this.#aborter?.abort();
    this.#state = "over";
    refuse(this.#stream, status, message);
  }
}
