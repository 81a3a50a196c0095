import { readFileSync } from "node:fs";
import {
  type ChannelOptions,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { type ControlTlsFiles, listen, refuseOpenAddress } from "./listen.ts";

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
  const server = new Server(channelOptions(options));
  for (const { definition, implementation } of options.services) server.addService(definition, implementation);
  const injector = server.createConnectionInjector(credentials);
  const listening = await listen(options.address, (socket) => injector.injectConnection(socket));
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
  refuseOpenAddress(address);
  return ServerCredentials.createInsecure();
}
