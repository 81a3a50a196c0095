import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import type { StartRequest } from "../../drivers/runtime.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GatewayError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import { MAX_BODY, NotLeader, type Outcome, outcomeOf, parseOutcome, parseStart, settle } from "./peer-messages.ts";
import { isGenuine, isGenuineAnswer, signAnswer, signRequest, startPath } from "./peer-signatures.ts";

export interface PeersOptions {
  /** `host:port`; port 0 for any that is free. */
  readonly listen: string;
  /** At least one; the first signs, all verify. */
  readonly sealKeys: readonly Uint8Array[];
  readonly clock: Clock;
  readonly log: Log;
  /** Carries out what another replica asks for. @throws NotLeader where this replica does not lead; GatewayError */
  start(request: StartRequest): Promise<void>;
}

/** How replicas ask the leader to start drivers: HTTP inside the cluster, signed both ways with the seal key. */
export interface Peers {
  /** What it listens on, `host:port`. */
  readonly address: string;
  /**
   * Asks the leader to place the order.
   * @param leaderIdentity `<replica>|<host:port>`, as the Lease names it
   * @throws NotLeader where that one does not lead (any more) or cannot be reached: look at the election, then ask again;
   *   GatewayError as the leader's runtime threw it; the signal's reason when it aborts
   */
  ask(leaderIdentity: string, request: StartRequest, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const ANSWER_LIMIT_MS = 15_000;
/** Whoever reaches the port can send unsigned requests as fast as he likes: that must not fill the log. ms */
const COMPLAIN_EVERY_MS = 60_000;
const header = {
  timestamp: "x-gatehouse-timestamp",
  nonce: "x-gatehouse-nonce",
  mac: "x-gatehouse-signature",
} as const;

/** Resolves when it listens. @throws what listening threw */
export async function createPeers(options: PeersOptions): Promise<Peers> {
  // Looked at every second: a connection on which nothing comes holds one of few places.
  const limits = { requestTimeout: 10_000, headersTimeout: 5_000, connectionsCheckingInterval: 1_000 };
  const complain = createComplaint(options);
  const server = createServer(limits, (request, response) => {
    answer(options, complain, request, response).catch((error: unknown) => {
      options.log.debug("a peer's request could not be answered", { error });
      response.destroy();
    });
  });
  server.maxConnections = 256;
  const { host, port } = splitAddress(options.listen);
  server.listen(port, host);
  await once(server, "listening");
  const bound = server.address() as AddressInfo;
  return {
    address: `${host.includes(":") ? `[${host}]` : host}:${bound.port}`,
    ask: async (leaderIdentity, request, signal) => await ask(options, leaderIdentity, request, signal),
    close: async () => await close(server),
  };
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

/** Tells of the first request that was not genuine, then at most once a minute how many there were since. */
function createComplaint({ clock, log }: PeersOptions): (request: IncomingMessage) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  let untold = 0;
  return ({ socket }) => {
    untold += 1;
    const now = clock.now();
    if (Math.abs(now - toldAt) < COMPLAIN_EVERY_MS) return;
    log.warn("a request to start a driver was not signed by a replica, or its clock is far off", {
      from: socket.remoteAddress,
      requests: untold,
    });
    toldAt = now;
    untold = 0;
  };
}

async function answer(
  options: PeersOptions,
  complain: (request: IncomingMessage) => void,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.shouldKeepAlive = false;
  const refuse = (status: number) => void response.writeHead(status).end();
  if (request.method !== "POST" || request.url !== startPath) return refuse(404);
  const body = await readBody(request);
  if (body === undefined) return refuse(413);
  const signed = { timestamp: text(request, header.timestamp), nonce: text(request, header.nonce), body };
  if (!isGenuine(options.sealKeys, signed, text(request, header.mac), options.clock.now())) {
    complain(request);
    return refuse(401);
  }
  const order = parseStart(body);
  if (order === undefined) return refuse(400);
  const outcome = await carryOut(options, order);
  const told = Buffer.from(JSON.stringify(outcome), "utf8");
  const mac = signAnswer(options.sealKeys, signed.nonce, told);
  response.writeHead(200, { "content-type": "application/json", [header.mac]: mac }).end(told);
}

async function carryOut(options: PeersOptions, order: StartRequest): Promise<Outcome> {
  try {
    await options.start(order);
    return { kind: "started" };
  } catch (error) {
    const outcome = outcomeOf(error);
    if (outcome.kind === "refused") options.log.warn("a start that another replica asked for failed", { error });
    return outcome;
  }
}

async function ask(
  options: PeersOptions,
  leaderIdentity: string,
  order: StartRequest,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const own = new AbortController();
  const giveUp = () => own.abort();
  const cancel = options.clock.after(ANSWER_LIMIT_MS, giveUp);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    settle(await exchange(options, leaderIdentity, order, own.signal));
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    cancel();
    signal.removeEventListener("abort", giveUp);
  }
}

async function exchange(
  { sealKeys, clock }: PeersOptions,
  leaderIdentity: string,
  order: StartRequest,
  signal: AbortSignal,
): Promise<Outcome> {
  const body = Buffer.from(JSON.stringify(order), "utf8");
  if (body.byteLength > MAX_BODY) throw new GatewayError("DRIVER_FAILED", "the order to start the driver is too large");
  const signed = { timestamp: String(clock.now()), nonce: randomBytes(16).toString("base64url"), body };
  const headers = {
    "content-type": "application/json",
    "content-length": body.byteLength,
    [header.timestamp]: signed.timestamp,
    [header.nonce]: signed.nonce,
    [header.mac]: signRequest(sealKeys, signed),
  };
  let response: IncomingMessage;
  let told: Buffer | undefined;
  try {
    const { host, port } = splitAddress(leaderIdentity.slice(leaderIdentity.lastIndexOf("|") + 1));
    response = await post({ host, port, headers, signal }, body);
    told = await readBody(response);
  } catch (cause) {
    throw new NotLeader("the leader did not answer", { cause });
  }
  const genuine = told !== undefined && isGenuineAnswer(sealKeys, signed.nonce, told, text(response, header.mac));
  const outcome = genuine && told !== undefined ? parseOutcome(told) : undefined;
  if (outcome !== undefined) return outcome;
  throw new NotLeader(`what answered for the leader is not a replica (status ${response.statusCode})`);
}

interface Posting {
  readonly host: string;
  readonly port: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly signal: AbortSignal;
}

async function post(posting: Posting, body: Buffer): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest({ ...posting, method: "POST", path: startPath, agent: false });
    request.on("response", resolve);
    request.on("error", reject);
    request.end(body);
  });
}

/** @returns undefined where it is too large; the rest is not read */
async function readBody(message: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > MAX_BODY) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const text = (message: IncomingMessage, name: string): string => String(message.headers[name] ?? "");

/** @throws TypeError where it is not `host:port` */
function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(":");
  const port = address.slice(at + 1);
  if (at < 1 || !/^\d{1,5}$/.test(port)) throw new TypeError(`not host:port: ${address}`);
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(port) };
}
