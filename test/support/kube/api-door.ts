import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Agent, request } from "node:https";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import type { KubeCluster } from "./cluster.ts";

/** A request as it comes from Gatehouse. */
export interface DoorRequest {
  readonly method: string;
  /** With the query. */
  readonly url: string;
  readonly body: string;
}

/** A request that is kept from going on, or its answer. */
export interface HeldRequest {
  /** Resolves when it is held. */
  readonly there: Promise<void>;
  readonly isThere: () => boolean;
  release(): void;
}

/** What one replica reaches the API server through: a test can stop it at an exact point of an order. */
export interface ApiDoor {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /**
   * Holds the next request that matches. "before": the API server does not get it until the release, and never where the
   * client goes away meanwhile. "after": the next one that is carried out; the answer is kept back.
   */
  hold(when: "before" | "after", matches: (request: DoorRequest) => boolean): HeldRequest;
  close(): Promise<void>;
}

interface Trap {
  readonly when: "before" | "after";
  readonly matches: (request: DoorRequest) => boolean;
  readonly enter: () => void;
  readonly released: Promise<void>;
}

export async function startApiDoor(cluster: KubeCluster): Promise<ApiDoor> {
  const agent = new Agent({ keepAlive: true, ca: cluster.caPem });
  const traps = new Set<Trap>();
  const serve = async (incoming: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const body = await buffer(incoming);
    const about = { method: incoming.method ?? "GET", url: incoming.url ?? "/", body: body.toString("utf8") };
    const trap = [...traps].find(({ matches }) => matches(about));
    if (trap !== undefined) traps.delete(trap);
    if (trap?.when === "before") {
      trap.enter();
      await trap.released;
      if (answer.destroyed) return;
    }
    const { host: _, ...headers } = incoming.headers;
    const outgoing = request(new URL(about.url, cluster.url), { method: about.method, headers, agent });
    outgoing.once("error", () => answer.destroy());
    answer.once("close", () => outgoing.destroy());
    outgoing.once("response", (from) => {
      from.once("error", () => answer.destroy());
      const isCarriedOut = (from.statusCode ?? 0) < 300;
      if (trap?.when === "after" && !isCarriedOut) traps.add(trap);
      void passOn(from, answer, trap?.when === "after" && isCarriedOut ? trap : undefined);
    });
    outgoing.end(body);
  };
  // Longer than any client keeps a connection: none is closed just when it is used.
  const server = createServer({ keepAliveTimeout: 120_000 }, (incoming, answer) => {
    serve(incoming, answer).catch(() => answer.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold(when, matches) {
      let enter = () => {};
      let release = () => {};
      let isThere = false;
      const there = new Promise<void>((resolve) => {
        enter = () => {
          isThere = true;
          resolve();
        };
      });
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      traps.add({ when, matches, enter, released });
      return { there, isThere: () => isThere, release };
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
      agent.destroy();
    },
  };
}

async function passOn(from: IncomingMessage, answer: ServerResponse, trap: Trap | undefined): Promise<void> {
  trap?.enter();
  await trap?.released;
  answer.writeHead(from.statusCode ?? 502, from.headers);
  answer.flushHeaders();
  from.pipe(answer);
}
