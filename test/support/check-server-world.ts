import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import {
  type CheckAnswer,
  type CheckCall,
  type CheckHandler,
  type CheckServerOptions,
  startCheckServer,
} from "../../src/edges/envoy/check-server.ts";
import type { ControlServer } from "../../src/edges/envoy/server.ts";
import { headersOf } from "./check-client.ts";
import { type HttpWire, httpWire } from "./http-wire.ts";

/** An answer that lets a call through. */
export const allowing = (...headers: string[]): CheckAnswer => ({ status: 200, headers });
/** The refusal of whatever was thrown, unless the test has one of its own. */
export const refused: CheckAnswer = { status: 403, headers: ["x-refused", "yes"] };
/** Each question's own answer: what it asked. */
export const echo = async (call: CheckCall): Promise<CheckAnswer> =>
  allowing("x-path", call.path, "x-name", headersOf(call)["x-name"] ?? "");

/** A question without a body, as Envoy sends it, with those header lines. */
export const question = (path = "/a", ...lines: string[]): string =>
  [`POST ${path} HTTP/1.1`, "host: h", "content-length: 0", ...lines, "", ""].join("\r\n");

export type StartOptions = Partial<CheckServerOptions> & { readonly refuse?: CheckHandler["refuse"] };

/** One real server for each test, on a Unix socket unless it says otherwise. */
export interface CheckServerWorld {
  readonly folder: string;
  readonly server: ControlServer;
  /** What was asked, in order. */
  readonly asked: CheckCall[];
  /** To be done before each test. */
  begin(this: void): void;
  /** To be done after each test. */
  end(this: void): Promise<void>;
  /** Starts it; resolves with its address. */
  start(this: void, decide?: CheckHandler["decide"], options?: StartOptions): Promise<string>;
  /** A connection to that address, cut at the end. */
  wire(this: void, address: string): HttpWire;
  wired(this: void, socket: Socket): HttpWire;
  /** The server, which answers as `echo` does, is as well as ever. */
  expectWell(this: void, address: string): Promise<void>;
  /** Done at the end of the test. */
  atEnd(this: void, what: () => void): void;
  /** Whether anybody takes a connection there. */
  isTaken(this: void, address: string): Promise<boolean>;
}

/** Where a socket connects to for that address. */
export const placeOf = (address: string): { path: string } | { host: string; port: number } =>
  address.startsWith("unix:")
    ? { path: address.slice("unix:".length) }
    : { host: "127.0.0.1", port: Number(address.slice(address.lastIndexOf(":") + 1)) };

export function checkServerWorld(): CheckServerWorld {
  let folder = "";
  let server: ControlServer | undefined;
  const endings: (() => void)[] = [];
  const asked: CheckCall[] = [];
  const world: CheckServerWorld = {
    asked,
    get folder() {
      return folder;
    },
    get server() {
      if (server === undefined) throw new Error("the server has not been started");
      return server;
    },
    begin() {
      folder = mkdtempSync(join(tmpdir(), "gatehouse-check-server-"));
      asked.length = 0;
    },
    async end() {
      for (const end of endings.splice(0)) end();
      await server?.close();
      server = undefined;
      rmSync(folder, { recursive: true, force: true });
    },
    async start(decide = echo, { refuse = () => refused, ...options } = {}) {
      const handler: CheckHandler = {
        decide(call) {
          asked.push(call);
          return decide(call);
        },
        unreadable: async () => ({ status: 400, headers: [] }),
        refuse,
      };
      server = await startCheckServer({ address: `unix:${join(folder, "s", "check.sock")}`, handler, ...options });
      return server.address;
    },
    wire: (address) => world.wired(connect(placeOf(address))),
    wired(socket) {
      endings.push(() => socket.destroy());
      return httpWire(socket);
    },
    async expectWell(address) {
      const fresh = world.wire(address);
      fresh.send(question("/well"));
      expect((await fresh.answer(0)).headers.get("x-path")).toBe("/well");
      fresh.cut();
    },
    atEnd: (what) => void endings.push(what),
    isTaken: (address) =>
      new Promise((resolve) => {
        const socket = connect(placeOf(address));
        socket.once("error", () => resolve(false));
        socket.once("connect", () => {
          socket.destroy();
          resolve(true);
        });
      }),
  };
  return world;
}
