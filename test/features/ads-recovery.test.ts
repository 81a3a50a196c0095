import { Client, credentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AdsWorld, startAdsWorld } from "../support/ads-world.ts";

// The rules of delta ADS as Envoy needs them, over the real wire: reconnects, refusals, streams that misbehave.

const d1 = "driver|sjns-a-dev/one|u1";
const d2 = "driver|sjns-a-dev/two|u2";
let world: AdsWorld;

beforeEach(async () => {
  world = await startAdsWorld();
});

afterEach(async () => {
  await world.close();
});

describe("coming back", () => {
  it("sends nothing that the client has, also from a new server, and removals for what is gone", async () => {
    const both = { clusters: { [d1]: 1, [d2]: 1 }, endpoints: { [d1]: 1, [d2]: 1 } };
    world.publish(both);
    const before = world.connect();
    before.ask("cluster", { subscribe: ["*", d1] });
    const clusters = await before.take();
    before.ask("endpoints", { subscribe: [d1, d2] });
    const endpoints = await before.take();
    await world.close();

    world = await startAdsWorld();
    world.publish(both);
    const after = world.connect();
    after.ask("cluster", { subscribe: ["*", d1], initial: clusters.versions });
    after.ask("endpoints", { subscribe: [d1, d2], initial: endpoints.versions });
    expect(await after.settled()).toEqual([]);
    world.publish({ clusters: { [d1]: 2 }, endpoints: { [d1]: 2 } });
    const sent = (await after.settled()).map(({ kind, names, removed }) => [kind, names, removed]);
    expect(sent).toEqual([
      ["cluster", [d1], []],
      ["endpoints", [d1], []],
      ["endpoints", [], [d2]],
      ["cluster", [], [d2]],
    ]);
  });

  it("sends what changed or went while the client was away", async () => {
    world.publish({ clusters: { [d1]: 1 } });
    const client = world.connect();
    client.ask("cluster", { initial: { [d1]: "another", [d2]: "gone" } });
    const sent = (await client.settled()).map(({ names, removed }) => [names, removed]);
    expect(sent).toEqual([
      [[d1], []],
      [[], [d2]],
    ]);
  });
});

describe("refusals", () => {
  it("notes a NACK, sends that version no more, and sends the next one", async () => {
    world.publish({ clusters: { [d1]: 1 } });
    const client = world.connect();
    client.ask("cluster");
    client.nack(await client.next(), "no such luck");
    expect(await client.settled()).toEqual([]);
    expect(world.metrics.value("gatehouse_xds_nacks_total", { type: "cluster" })).toBe(1);
    expect(world.metrics.value("gatehouse_xds_acks_total", { type: "cluster" })).toBe(0);
    expect(world.lines).toMatchObject([{ message: "Envoy refused resources", fields: { detail: "no such luck" } }]);
    expect(world.acknowledgements).toMatchObject([{ error: "no such luck", sent: [{ name: d1 }] }]);
    world.publish({ clusters: { [d1]: 2 } });
    client.ack(await client.next());
    expect(await client.settled()).toEqual([]);
    expect(world.metrics.value("gatehouse_xds_acks_total", { type: "cluster" })).toBe(1);
  });

  it("gives the good ones of a refused response another chance and ends with the bad one alone", async () => {
    const names = Array.from({ length: 16 }, (_, i) => `driver|sjns-a-dev/a${i}|u`);
    world.publish({ clusters: Object.fromEntries(names.map((name) => [name, 1])) });
    const bad = names[5]!;
    const accepted = new Set<string>();
    const client = world.connect();
    client.ask("cluster");
    let responses = 0;
    let refused = 0;
    for (let more = await client.settled(); more.length > 0; more = await client.settled()) {
      for (const response of more) {
        responses += 1;
        if (response.names.includes(bad)) {
          refused += 1;
          client.nack(response, `bad: ${bad}`);
        } else {
          for (const name of response.names) accepted.add(name);
          client.ack(response);
        }
      }
    }
    expect(accepted.size).toBe(15);
    expect([responses, refused]).toEqual([9, 5]);
  });

  it("ignores an answer to a response that it never sent", async () => {
    world.publish({ clusters: { [d1]: 1 } });
    const client = world.connect();
    client.ask("cluster");
    const response = await client.next();
    client.ack({ ...response, nonce: "999" });
    client.nack({ ...response, nonce: "998" }, "?");
    expect(await client.settled()).toEqual([]);
    expect(world.acknowledgements).toEqual([]);
  });
});

describe("bad streams", () => {
  it("stops at 256 unanswered responses and goes on with the newest state", async () => {
    world.publish({ endpoints: { [d1]: 1 } });
    const client = world.connect();
    client.ask("endpoints", { subscribe: [d1] });
    let last = await client.next();
    for (let port = 2; port <= 256; port += 1) {
      world.publish({ endpoints: { [d1]: port } });
      last = await client.next();
    }
    for (let port = 257; port <= 300; port += 1) world.publish({ endpoints: { [d1]: port } });
    client.ack(last);
    expect(JSON.stringify((await client.next()).content(d1))).toContain(":300}");
  });

  it("ends a stream that asks for too much, and only that one", async () => {
    world.publish({ endpoints: { [d1]: 1 } });
    const good = world.connect();
    good.ask("endpoints", { subscribe: [d1] });
    await good.take();
    const greedy = world.connect();
    for (let i = 0; i < 3; i += 1) {
      greedy.ask("endpoints", { subscribe: Array.from({ length: 40_000 }, (_, n) => `${i}-${n}`) });
    }
    expect((await greedy.ended).code).toBe(8);
    world.publish({ endpoints: { [d1]: 2 } });
    expect((await good.take()).names).toEqual([d1]);
    expect(world.ads.streams).toBe(1);
    expect(world.metrics.value("gatehouse_xds_streams")).toBe(1);
  });

  it("ends a stream that sends no protobuf", async () => {
    world.publish({});
    const client = new Client(world.address, credentials.createInsecure());
    const raw = (bytes: Buffer) => bytes;
    const path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
    const stream = client.makeBidiStreamRequest(path, raw, raw);
    stream.on("error", () => undefined);
    stream.resume();
    stream.write(Buffer.from("ffffffff", "hex"));
    const code = await new Promise((resolve) => {
      stream.on("status", (status) => resolve(status.code));
    });
    expect(code).toBe(13);
    client.close();
    const good = world.connect();
    good.ask("cluster");
    expect((await good.take()).kind).toBe("cluster");
  });
});
