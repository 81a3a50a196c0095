import { mkdirSync, statSync, unlinkSync } from "node:fs";
import { connect, createServer, type ListenOptions, type Socket } from "node:net";
import { dirname } from "node:path";

/** Files (PEM) for mutual TLS: clients must show a certificate that `caFile` signed. Read once, at the start. */
export interface ControlTlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

export interface Listening {
  /** With the real port. */
  readonly address: string;
  /** Takes no more connections; resolves when the last one has ended. */
  end(): Promise<void>;
}

/** @throws Error unless the address may be served without mutual TLS: a Unix socket's or a loopback one */
export function refuseOpenAddress(address: string): void {
  if (/^(unix:|127\.\d+\.\d+\.\d+:|\[::1\]:|localhost:)/.test(address)) return;
  throw new Error(`${address} needs mutual TLS: without it only Unix sockets and loopback addresses are served`);
}

/**
 * Listens for a server of ours and hands it the connections. TCP keepalive is on: an Envoy whose machine is gone is noticed
 * after 20 s and ten probes, and its calls end. The HTTP/2 servers' own keepalive would cut the calls of a server that drains
 * (a session that was closed refuses to send a PING, which passes for a dead peer); Envoy pings us by itself.
 * @throws Error when the address cannot be used: the message says why
 */
export async function listen(address: string, connected: (socket: Socket) => void): Promise<Listening> {
  if (address.startsWith("unix:")) await prepareSocket(address.slice("unix:".length));
  const server = createServer({ keepAlive: true, keepAliveInitialDelay: 20_000 }, connected);
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
