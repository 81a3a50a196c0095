import { mkdirSync, readFileSync, statSync, unlinkSync } from "node:fs";
import { connect, createServer, type ListenOptions } from "node:net";
import { dirname } from "node:path";
import {
  type ChannelOptions,
  type ConnectionInjector,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";

/** Files (PEM) for mutual TLS: clients must show a certificate that `caFile` signed. Read once, at the start. */
export interface ControlTlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

export interface ControlServerOptions {
  /** `unix:/absolute/path` or `host:port` (port 0: a free one). Without `tls`, the host must be a loopback address. */
  readonly address: string;
  readonly tls?: ControlTlsFiles;
  readonly services: readonly { definition: ServiceDefinition; implementation: UntypedServiceImplementation }[];
  /** The largest message that is read, in bytes; a larger one ends its call with RESOURCE_EXHAUSTED. Default 1 MiB. */
  readonly maxReceiveBytes?: number;
  /** Calls at once on one connection. Default 4096. */
  readonly maxConcurrentStreams?: number;
}

export interface ControlServer {
  /** Where it listens, in the form of {@link ControlServerOptions.address}, with the real port. */
  readonly address: string;
  /** Takes no new connections or calls; resolves when the running calls have ended. Streams may never end: then close. */
  drain(): Promise<void>;
  /** Ends everything at once. May follow `drain`. */
  close(): Promise<void>;
}

/**
 * Starts one gRPC server. Each purpose gets its own, so that held checks or big bodies cannot starve the others.
 * @throws Error when the address cannot be used: the message says why
 */
export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const credentials = credentialsFor(options);
  if (options.address.startsWith("unix:")) await prepareSocket(options.address.slice("unix:".length));
  const server = new Server(channelOptions(options));
  for (const { definition, implementation } of options.services) server.addService(definition, implementation);
  const listening = await listen(options.address, server.createConnectionInjector(credentials));
  return {
    address: listening.address,
    drain: () =>
      new Promise((resolve, reject) => {
        void listening.end();
        server.tryShutdown((error) => (error === undefined ? resolve() : reject(error)));
      }),
    // forceShutdown tells nobody when it is done; the shutdown that it speeds up does.
    close: async () => {
      const closed = listening.end();
      await new Promise<void>((resolve) => {
        server.tryShutdown(() => resolve());
        server.forceShutdown();
      });
      await closed;
    },
  };
}

interface Listening {
  /** With the real port. */
  readonly address: string;
  /** Takes no more connections; resolves when the last one has ended. */
  end(): Promise<void>;
}

/**
 * Listens for the gRPC server, because its own listening has no TCP keepalive, and its HTTP/2 keepalive cuts the calls of
 * a server that drains (a session that was closed refuses to send a PING, which passes for a dead peer). An Envoy whose
 * machine is gone is noticed after 20 s and ten probes, and its calls end; Envoy pings us by itself.
 */
async function listen(address: string, injector: ConnectionInjector): Promise<Listening> {
  const server = createServer({ keepAlive: true, keepAliveInitialDelay: 20_000 }, (socket) =>
    injector.injectConnection(socket),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new Error(`cannot listen on ${address}: ${cause.message}`, { cause })));
    server.listen(listenOptions(address), resolve);
  });
  const bound = server.address();
  let closed: Promise<void> | undefined;
  return {
    // A Unix socket is bound to a text.
    address: bound === null || typeof bound === "string" ? address : address.replace(/:\d+$/, `:${bound.port}`),
    end() {
      closed ??= new Promise((resolve) => void server.close(() => resolve()));
      return closed;
    },
  };
}

function listenOptions(address: string): ListenOptions {
  if (address.startsWith("unix:")) return { path: address.slice("unix:".length) };
  const [, host, port] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(address) ?? [];
  if (host === undefined) throw new Error(`${address} is neither unix:/path nor host:port`);
  return { host, port: Number(port) };
}

function channelOptions(options: ControlServerOptions): ChannelOptions {
  return {
    "grpc.max_receive_message_length": options.maxReceiveBytes ?? 1024 * 1024,
    "grpc.max_send_message_length": 4 * 1024 * 1024,
    "grpc.max_concurrent_streams": options.maxConcurrentStreams ?? 4096,
    "grpc-node.flow_control_window": 64 * 1024,
  };
}

function credentialsFor({ address, tls }: ControlServerOptions): ServerCredentials {
  if (tls !== undefined) {
    const pair = { cert_chain: readFileSync(tls.certFile), private_key: readFileSync(tls.keyFile) };
    return ServerCredentials.createSsl(readFileSync(tls.caFile), [pair], true);
  }
  if (!/^(unix:|127\.\d+\.\d+\.\d+:|\[::1\]:|localhost:)/.test(address)) {
    throw new Error(`${address} needs mutual TLS: without it only Unix sockets and loopback addresses are served`);
  }
  return ServerCredentials.createInsecure();
}

/** The socket's folder is ours alone; a socket file that a dead process left is removed, one in use is an error. */
async function prepareSocket(path: string): Promise<void> {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { mode, uid } = statSync(folder);
  if ((mode & 0o077) !== 0 || uid !== process.getuid?.()) {
    throw new Error(`${folder} must belong to this user and be closed to others (mode 0700)`);
  }
  const state = await socketState(path);
  if (state === "used") throw new Error(`${path} is in use: another Gatehouse is listening there`);
  if (state === "stale") unlinkSync(path);
}

function socketState(path: string): Promise<"absent" | "stale" | "used"> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve("used");
    });
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") resolve("absent");
      else if (error.code === "ECONNREFUSED") resolve("stale");
      else reject(new Error(`cannot use the socket ${path}: ${error.message}`, { cause: error }));
    });
  });
}
