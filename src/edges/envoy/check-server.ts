import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ControlTlsFiles, listen, refuseOpenAddress } from "./listen.ts";
import type { ControlServer } from "./server.ts";

/** One question of ext_authz. */
export interface CheckCall {
  /** The call's path with its query, as the client sent it. */
  readonly path: string;
  /** Names and values in turn, as they came; values one character for each byte. */
  readonly rawHeaders: readonly string[];
  /** Aborted when Envoy gives up. Made when first asked for: most calls are over before anybody could. */
  readonly signal: AbortSignal;
}

/**
 * What Envoy is told: 200 lets the call through, every other status refuses it, and 5xx is taken for a failure of ours, except for
 * "ask again" (see `checkTurns`).
 */
export interface CheckAnswer {
  readonly status: number;
  /** Names and values in turn; values one character for each byte, visible ones and spaces only. */
  readonly headers: readonly string[];
}

export interface CheckHandler {
  decide(call: CheckCall): Promise<CheckAnswer>;
  /** The refusal of a question that is no HTTP/1.1: HTTP/2 knows methods, for one, that its parser does not. */
  unreadable(): Promise<CheckAnswer>;
  /** The answer where that was thrown, by `decide` or because its answer cannot be written. What this throws becomes a 500. */
  refuse(thrown: unknown): CheckAnswer;
}

export interface CheckServerOptions {
  /** See `ControlServerOptions.address`. */
  readonly address: string;
  readonly tls?: ControlTlsFiles;
  readonly handler: CheckHandler;
}

/** Twice what Envoy takes from clients: it adds a few of its own. */
const maxHeaderBytes = 128 * 1024;

/**
 * Answers ext_authz over HTTP/1.1, on the platform's own server: a question is a request without a body, the answer is its
 * response. For Envoys of our own installation.
 * @throws Error when the address cannot be used: the message says why
 */
export async function startCheckServer(options: CheckServerOptions): Promise<ControlServer> {
  const running = { calls: 0, draining: false, quiet: (): void => undefined };
  const over = (): void => {
    running.calls -= 1;
    if (running.calls === 0) running.quiet();
  };
  const server = httpServer(options);
  // Node would leave out what comes after the first 1,000: a header that is not decided upon is not taken from the driver either.
  server.maxHeadersCount = 0;
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    running.calls += 1;
    if (running.draining) response.shouldKeepAlive = false;
    void serve(options.handler, request, response, over);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === "ECONNRESET" || !socket.writable) socket.destroy();
    else void refuseUnread(options.handler, socket);
  });
  const connections = new Set<Socket>();
  const listening = await listen(options.address, (socket) => {
    socket.setNoDelay(true);
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    server.emit("connection", socket);
  });
  return {
    address: listening.address,
    async drain() {
      const ended = listening.end();
      running.draining = true;
      if (running.calls > 0) await new Promise<void>((resolve) => Object.assign(running, { quiet: resolve }));
      for (const socket of connections) socket.end();
      await ended;
    },
    async close() {
      const ended = listening.end();
      for (const socket of connections) socket.destroy();
      await ended;
    },
  };
}

function httpServer({ address, tls }: CheckServerOptions): Server {
  // Only Envoy closes an idle connection: what it sends on one that we have just closed would be lost.
  const settings = { keepAliveTimeout: 0, maxHeaderSize: maxHeaderBytes };
  if (tls === undefined) {
    refuseOpenAddress(address);
    return createServer(settings);
  }
  return createTlsServer({
    ...settings,
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.2",
    requestCert: true,
    rejectUnauthorized: true,
    cert: readFileSync(tls.certFile),
    key: readFileSync(tls.keyFile),
    ca: readFileSync(tls.caFile),
  });
}

/** No answer has one. */
const noBody = ["content-length", "0"];

async function serve(
  handler: CheckHandler,
  request: IncomingMessage,
  response: ServerResponse,
  over: () => void,
): Promise<void> {
  response.sendDate = false;
  try {
    write(response, await handler.decide(new Call(request, response)));
  } catch (thrown) {
    refuse(handler, response, thrown);
  }
  over();
}

function refuse(handler: CheckHandler, response: ServerResponse, thrown: unknown): void {
  if (response.headersSent) return;
  try {
    write(response, handler.refuse(thrown));
  } catch {
    write(response, { status: 500, headers: [] });
  }
}

/** There is no response to write to: the parser gave up before. */
async function refuseUnread(handler: CheckHandler, socket: Duplex): Promise<void> {
  try {
    const { status, headers } = await handler.unreadable();
    const lines = [`HTTP/1.1 ${status === 200 ? 500 : status} Refused`, "connection: close"];
    const all = [...headers, ...noBody];
    for (let at = 0; at + 1 < all.length; at += 2) lines.push(`${all[at]}: ${all[at + 1]}`);
    socket.end(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  } catch {
    socket.destroy();
  }
}

/** @throws Error where it is no answer that can be written; nothing is, then */
function write(response: ServerResponse, { status, headers }: CheckAnswer): void {
  response.writeHead(status, [...headers, ...noBody]).end();
}

class Call implements CheckCall {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #aborter: AbortController | undefined;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
  }

  get path(): string {
    return this.#request.url ?? "";
  }

  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders;
  }

  get signal(): AbortSignal {
    if (this.#aborter !== undefined) return this.#aborter.signal;
    const aborter = new AbortController();
    this.#aborter = aborter;
    const response = this.#response;
    const left = (): void => {
      if (!response.writableEnded) aborter.abort();
    };
    if (response.destroyed) left();
    else response.once("close", left);
    return aborter.signal;
  }
}
