import type { Agent, IncomingMessage, RequestOptions } from "node:http";
import { request as httpRequest, Agent as PlainAgent } from "node:http";
import { request as httpsRequest, Agent as TlsAgent } from "node:https";
import type { KubeConfig } from "@kubernetes/client-node";
import { ApiError } from "./api.ts";
import { type PodAccount, podAccount, podConnection } from "./pod-account.ts";

/** How to reach the API server at this moment, credentials included. */
export interface Connection {
  readonly server: URL;
  /** TLS material and the header with the credential. */
  readonly options: RequestOptions;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: Agent;
}

export interface Connections {
  /** @throws ApiError (status 0) where the configuration or the credentials cannot be had */
  current(): Promise<Connection>;
  /** After a refusal of the credentials: everything is read anew at the next request. */
  forget(): void;
  close(): void;
}

/** How long credentials are used without looking again: a rotated token or certificate is noticed that soon. */
const FRESH_MS = 10_000;

/** Below the API server's own idle limit, so that a kept connection is seldom met just as it closes. */
const IDLE_MS = 45_000;

/** @param kubeconfigFile undefined: the ServiceAccount of the pod that we run in */
export function createConnections(kubeconfigFile: string | undefined, account: PodAccount = podAccount): Connections {
  // `maxSockets` stays without a limit: each watch holds a connection, and must not keep requests waiting.
  const agents = {
    "https:": new TlsAgent({ keepAlive: true, timeout: IDLE_MS }),
    "http:": new PlainAgent({ keepAlive: true, timeout: IDLE_MS }),
  };
  let config: KubeConfig | undefined;
  let cached: { readonly connection: Promise<Connection>; readonly until: number } | undefined;
  const load = async (): Promise<Connection> => {
    if (kubeconfigFile === undefined) return { ...podConnection(account), agent: agents["https:"] };
    config ??= await readConfig(kubeconfigFile);
    const cluster = config.getCurrentCluster();
    if (cluster === null) throw new Error("no cluster");
    const server = new URL(cluster.server);
    const applied: RequestOptions = { headers: {} };
    await config.applyToHTTPSOptions(applied);
    const { headers, agent, ...options } = applied;
    const own = server.protocol === "http:" ? agents["http:"] : agents["https:"];
    const proxied = cluster.proxyUrl !== undefined && typeof agent === "object" ? agent : undefined;
    return { server, options, headers: texts(headers), agent: proxied ?? own };
  };
  return {
    async current() {
      if (cached === undefined || performance.now() > cached.until) {
        cached = { connection: load(), until: performance.now() + FRESH_MS };
      }
      const mine = cached;
      try {
        return await mine.connection;
      } catch {
        if (cached === mine) cached = undefined;
        // The cause stays out: what a credential command wrote may hold the credential.
        throw new ApiError(0, "NoAnswer", "the Kubernetes API's address or credentials cannot be read");
      }
    },
    forget() {
      config = undefined;
      cached = undefined;
    },
    close() {
      agents["https:"].destroy();
      agents["http:"].destroy();
    },
  };
}

/** The library takes half a second and 70 MB to load: a pod, which needs no kubeconfig, does without. */
async function readConfig(file: string): Promise<KubeConfig> {
  const library = await import("@kubernetes/client-node");
  const config = new library.KubeConfig();
  config.loadFromFile(file);
  return config;
}

/** A token file may end in a newline, which is no part of the token and not allowed in a header. */
function texts(headers: RequestOptions["headers"]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, String(value).trim()]));
}

export interface Sending {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body: string | undefined;
  readonly contentType: string;
  readonly accept: string;
  readonly signal: AbortSignal;
}

/** Resolves when the answer's headers are there; the signal also ends the reading of its body. @throws what the socket threw */
export async function send(connection: Connection, sending: Sending): Promise<IncomingMessage> {
  try {
    return await sendOnce(connection, sending);
  } catch (error) {
    if (!(error instanceof StaleSocket) || sending.method !== "GET") throw error;
    return await sendOnce(connection, sending);
  }
}

/** A kept connection that the server had closed; a read may simply be asked again. */
class StaleSocket extends Error {
  override readonly name = "StaleSocket";
  readonly code = "ECONNRESET";
}

async function sendOnce({ server, options, headers, agent }: Connection, sending: Sending): Promise<IncomingMessage> {
  const { method, body, signal } = sending;
  return await new Promise((resolve, reject) => {
    const request = (server.protocol === "http:" ? httpRequest : httpsRequest)({
      ...options,
      host: server.hostname.replace(/^\[|\]$/g, ""),
      port: server.port === "" ? undefined : Number(server.port),
      method,
      path: `${server.pathname.replace(/\/+$/, "")}${sending.path}${queryText(sending.query)}`,
      headers: {
        ...headers,
        accept: sending.accept,
        "user-agent": "gatehouse",
        ...(body === undefined
          ? {}
          : { "content-type": sending.contentType, "content-length": Buffer.byteLength(body) }),
      },
      agent,
    });
    // Not by the request's option: Node would bind the connection to it as well, which other requests use after this one. And without an
    // error: where the answer has just ended, nobody listens to the connection for one, which would end the process.
    const giveUp = () => void request.destroy();
    signal.addEventListener("abort", giveUp, { once: true });
    request.once("close", () => signal.removeEventListener("abort", giveUp));
    if (signal.aborted) giveUp();
    request.on("socket", (socket) => socket.setKeepAlive(true, 30_000));
    request.on("response", resolve);
    request.on("error", (error: NodeJS.ErrnoException) => {
      const stale = request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
      reject(stale ? new StaleSocket(error.message, { cause: error }) : error);
    });
    request.end(body);
  });
}

function queryText(query: Sending["query"]): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}
