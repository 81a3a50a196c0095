import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { StartRequest } from "../../src/drivers/runtime.ts";
import { NotLeader } from "../../src/edges/kubernetes/peer-messages.ts";
import { createPeers } from "../../src/edges/kubernetes/peers.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { GatewayError } from "../../src/kernel/errors.ts";
import { type LogLine, recordingLog } from "../support/recording-log.ts";
import { until } from "../support/until.ts";

const key = randomBytes(32);
const order: StartRequest = {
  key: { cluster: "c", namespace: "n", app: "ä" },
  owner: "alice@local",
  ownerUser: "alice",
  sharedWithGroups: ["team"],
  profile: "default",
};
const never = new AbortController().signal;

const endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

async function peer(start: (order: StartRequest) => Promise<void>, keys: readonly Uint8Array[] = [key], skewMs = 0) {
  const lines: LogLine[] = [];
  let skew = skewMs;
  const clock = { ...systemClock, now: () => systemClock.now() + skew };
  const peers = await createPeers({ listen: "127.0.0.1:0", sealKeys: keys, clock, log: recordingLog(lines), start });
  endings.push(async () => await peers.close().catch(() => undefined));
  return { ...peers, lines, later: (ms: number) => void (skew += ms), identity: `replica_1|${peers.address}` };
}

const idle = async () => await Promise.resolve();

async function impostor(listener: RequestListener) {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  endings.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const post = async (address: string, body: string, headers: Record<string, string> = {}) =>
  await fetch(`http://${address}/v1/start`, { method: "POST", body, headers });

describe("asking the leader", () => {
  it("brings the order to it, and back how it went", async () => {
    const taken: StartRequest[] = [];
    const leader = await peer(async (each) => {
      taken.push(each);
      await Promise.resolve();
    });
    const follower = await peer(idle);
    await follower.ask(leader.identity, order, never);
    expect(taken).toEqual([order]);
  });

  it("brings back its error", async () => {
    const leader = await peer(async () => {
      await Promise.resolve();
      throw new GatewayError("DRIVER_LIMIT", "full", { retryAfterMs: 5_000, fields: { a: "b" } });
    });
    const follower = await peer(idle);
    const error = await follower.ask(leader.identity, order, never).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(GatewayError);
    expect(error).toMatchObject({ reason: "DRIVER_LIMIT", message: "full", retryAfterMs: 5_000, fields: { a: "b" } });
  });

  it("keeps what went wrong inside from the follower", async () => {
    const leader = await peer(async () => await Promise.reject(new Error("inner")));
    const follower = await peer(idle);
    await expect(follower.ask(leader.identity, order, never)).rejects.toMatchObject({ reason: "DRIVER_STARTING" });
    expect(leader.lines).toHaveLength(1);
  });

  it("tells where it asked one that does not lead", async () => {
    const leader = await peer(async () => await Promise.reject(new NotLeader("another")));
    const follower = await peer(idle);
    await expect(follower.ask(leader.identity, order, never)).rejects.toBeInstanceOf(NotLeader);
  });

  it("works while keys are rotated", async () => {
    const next = randomBytes(32);
    const leader = await peer(idle, [next, key]);
    const follower = await peer(idle, [key, next]);
    await follower.ask(leader.identity, order, never);
    await leader.ask(follower.identity, order, never);
  });

  it.each(["replica", "replica|", "replica|127.0.0.1", "replica|127.0.0.1:1", "replica|127.0.0.1:99999"])(
    "sends the caller back to the election where nobody answers at %s",
    async (identity) => {
      const follower = await peer(idle);
      await expect(follower.ask(identity, order, never)).rejects.toBeInstanceOf(NotLeader);
    },
  );

  it("believes no one else at the leader's address", async () => {
    const follower = await peer(idle);
    const replies: RequestListener[] = [
      (_, response) => void response.end('{"kind":"started"}'),
      (request, response) => {
        const mac = String(request.headers["x-gatehouse-signature"]);
        response.setHeader("x-gatehouse-signature", mac).end('{"kind":"started"}');
      },
      (_, response) => void response.writeHead(302, { location: "/" }).end(),
      (_, response) => void response.end("x".repeat(100_000)),
      (request) => void request.socket.destroy(),
    ];
    for (const reply of replies) {
      const address = await impostor(reply);
      await expect(follower.ask(`replica|${address}`, order, never)).rejects.toBeInstanceOf(NotLeader);
    }
  });

  it("gives up when told to", async () => {
    const stop = new AbortController();
    let asked = false;
    const address = await impostor(() => {
      asked = true;
    });
    const follower = await peer(idle);
    const asking = follower.ask(`replica|${address}`, order, stop.signal);
    const refused = expect(asking).rejects.toThrow("enough");
    await until(() => asked);
    stop.abort(new Error("enough"));
    await refused;
  });
});

describe("the leader", () => {
  it("takes orders from replicas only, of now, and none that is too large", async () => {
    let taken = 0;
    const start = async () => {
      taken += 1;
      await Promise.resolve();
    };
    const leader = await peer(start);
    const foreign = await peer(idle, [randomBytes(32)]);
    const late = await peer(idle, [key], -31_000);
    await expect(foreign.ask(leader.identity, order, never)).rejects.toBeInstanceOf(NotLeader);
    await expect(late.ask(leader.identity, order, never)).rejects.toBeInstanceOf(NotLeader);
    expect((await post(leader.address, JSON.stringify(order))).status).toBe(401);
    expect((await post(leader.address, JSON.stringify(order), { "x-gatehouse-timestamp": "x" })).status).toBe(401);
    expect((await fetch(`http://${leader.address}/`)).status).toBe(404);
    const large = await post(leader.address, "x".repeat(70_000)).then(
      ({ status }) => status,
      () => 0,
    );
    expect([0, 413]).toContain(large);
    await expect(leader.ask(leader.identity, { ...order, owner: "x".repeat(70_000) }, never)).rejects.toMatchObject({
      reason: "DRIVER_FAILED",
    });
    expect(taken).toBe(0);
    expect(leader.lines).toHaveLength(1);
    expect(JSON.stringify(leader.lines)).not.toContain("alice");
  });

  it("closes with orders under way", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = false;
    const leader = await peer(async () => {
      begun = true;
      await held;
    });
    const follower = await peer(idle);
    const refused = expect(follower.ask(leader.identity, order, never)).rejects.toBeInstanceOf(NotLeader);
    await until(() => begun);
    await leader.close();
    await refused;
    release();
  });

  it("tells of requests that are not signed, however many, once a minute", async () => {
    const leader = await peer(idle);
    for (let i = 0; i < 20; i += 1) expect((await post(leader.address, "{}")).status).toBe(401);
    expect(leader.lines.map(({ fields }) => fields?.["requests"])).toEqual([1]);
    leader.later(60_000);
    expect((await post(leader.address, "{}")).status).toBe(401);
    expect(leader.lines.map(({ fields }) => fields?.["requests"])).toEqual([1, 20]);
  });
});
