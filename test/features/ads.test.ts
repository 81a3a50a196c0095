import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { typeUrls } from "../../src/snapshots/resource.ts";
import { type AdsWorld, startAdsWorld } from "../support/ads-world.ts";
import { until } from "../support/until.ts";

// The rules of delta ADS as Envoy needs them, over the real wire: subscriptions, changes, unknown names.

const d1 = "driver|sjns-a-dev/one|u1";
const d2 = "driver|sjns-a-dev/two|u2";
const dx = "driver|sjns-a-dev/unknown|ux";
let world: AdsWorld;

beforeEach(async () => {
  world = await startAdsWorld();
});

afterEach(async () => {
  await world.close();
});

describe("before the first set", () => {
  it("says nothing, then everything that was asked for", async () => {
    const client = world.connect();
    client.ask("cluster", { initial: { [d1]: "old", [d2]: "old" } });
    await until(() => world.ads.streams === 1);
    world.publish({ clusters: { [d1]: 1 } });
    const added = await client.next();
    expect([added.names, added.removed]).toEqual([[d1], []]);
    const removed = await client.next();
    expect([removed.names, removed.removed]).toEqual([[], [d2]]);
    expect(await client.settled()).toEqual([]);
  });
});

describe("subscriptions", () => {
  it.each([
    ["a first request without names", {}],
    ["the name *", { subscribe: ["*"] }],
  ])("%s means all clusters", async (_what, ask) => {
    world.publish({ clusters: { [d1]: 1, [d2]: 1 } });
    const client = world.connect();
    client.ask("cluster", ask);
    expect((await client.take()).names).toEqual([d1, d2]);
    expect(await client.settled()).toEqual([]);
  });

  it("answers a first wildcard even when there is nothing", async () => {
    world.publish({});
    const client = world.connect();
    client.ask("cluster");
    expect((await client.take()).names).toEqual([]);
  });

  it("a first request without names is no wildcard for endpoints", async () => {
    world.publish({ endpoints: { [d1]: 1 } });
    const client = world.connect();
    client.ask("endpoints");
    expect(await client.settled()).toEqual([]);
  });

  it("sends a name again when it is asked for again", async () => {
    world.publish({ endpoints: { [d1]: 1 } });
    const client = world.connect();
    client.ask("endpoints", { subscribe: [d1] });
    const first = await client.take();
    client.ask("endpoints", { subscribe: [d1] });
    expect((await client.take()).versions).toEqual(first.versions);
  });

  it("stops sending a name that was unsubscribed", async () => {
    world.publish({ endpoints: { [d1]: 1 } });
    const client = world.connect();
    client.ask("endpoints", { subscribe: [d1] });
    await client.take();
    client.ask("endpoints", { unsubscribe: [d1] });
    expect(await client.settled()).toEqual([]);
    world.publish({ endpoints: { [d1]: 2 } });
    expect(await client.settled()).toEqual([]);
  });

  it("holds wildcard and names at once, and answers when a name is unsubscribed that the wildcard covers", async () => {
    world.publish({ clusters: { [d1]: 1 } });
    const client = world.connect();
    client.ask("cluster");
    await client.take();
    client.ask("cluster", { subscribe: [d1] });
    expect((await client.take()).names).toEqual([d1]);
    client.ask("cluster", { unsubscribe: [d1] });
    expect((await client.take()).names).toEqual([d1]);
    client.ask("cluster", { unsubscribe: ["nobody"] });
    expect((await client.take()).removed).toEqual(["nobody"]);
    world.publish({ clusters: { [d1]: 2 } });
    expect((await client.take()).names).toEqual([d1]);
  });

  it("ends the wildcard when * is unsubscribed, and keeps the names", async () => {
    world.publish({ clusters: { [d1]: 1, [d2]: 1 } });
    const client = world.connect();
    client.ask("cluster", { subscribe: ["*", d1] });
    await client.take();
    client.ask("cluster", { unsubscribe: ["*"] });
    expect(await client.settled()).toEqual([]);
    world.publish({ clusters: { [d1]: 2, [d2]: 2 } });
    expect((await client.take()).names).toEqual([d1]);
    expect(await client.settled()).toEqual([]);
  });
});

describe("changes", () => {
  it("sends only what changed, and nothing when nothing did", async () => {
    world.publish({ clusters: { [d1]: 1, [d2]: 1 }, endpoints: { [d1]: 1, [d2]: 1 } });
    const client = await world.settledEnvoy();
    world.publish({ clusters: { [d1]: 1, [d2]: 1 }, endpoints: { [d1]: 1, [d2]: 1 } });
    expect(await client.settled()).toEqual([]);
    world.publish({ clusters: { [d1]: 1, [d2]: 1 }, endpoints: { [d1]: 1, [d2]: 9 } });
    const sent = await client.settled();
    expect(sent.map(({ kind, names }) => [kind, names])).toEqual([["endpoints", [d2]]]);
  });

  it("rotates the certificate without touching anything else", async () => {
    world.publish({ clusters: { [d1]: 1 }, endpoints: { [d1]: 1 } });
    const client = await world.settledEnvoy();
    world.publish({ clusters: { [d1]: 1 }, endpoints: { [d1]: 1 }, secret: "new" });
    expect((await client.settled()).map(({ kind }) => kind)).toEqual(["secret"]);
  });

  it("sends additions as CDS, EDS, SDS, LDS, RDS", async () => {
    world.publish({ clusters: { [d1]: 1 }, endpoints: { [d1]: 1 } });
    const client = await world.settledEnvoy();
    world.publish({ clusters: { [d1]: 2 }, endpoints: { [d1]: 2 }, secret: "2", listener: "2", route: "2" });
    const kinds = (await client.settled()).map(({ kind }) => kind);
    expect(kinds).toEqual(["cluster", "endpoints", "secret", "listener", "route"]);
  });

  it("sends removals after all additions, in reverse", async () => {
    world.publish({ clusters: { [d1]: 1 }, endpoints: { [d1]: 1 } });
    const client = await world.settledEnvoy();
    world.cache.replace({ [typeUrls.cluster]: new Map([[d2, { name: d2, type: "EDS" }]]) });
    const sent = (await client.settled()).map(({ kind, names, removed }) => [kind, names.length, removed.length]);
    expect(sent).toEqual([
      ["cluster", 1, 0],
      ["route", 0, 1],
      ["listener", 0, 1],
      ["secret", 0, 1],
      ["endpoints", 0, 1],
      ["cluster", 0, 1],
    ]);
  });

  it("sends endpoints again after their cluster was sent again", async () => {
    world.publish({ clusters: { [d1]: 1, [d2]: 1 }, endpoints: { [d1]: 1, [d2]: 1 } });
    const client = await world.settledEnvoy();
    world.publish({ clusters: { [d1]: 2, [d2]: 1 }, endpoints: { [d1]: 1, [d2]: 1 } });
    const sent = (await client.settled()).map(({ kind, names }) => [kind, names]);
    expect(sent).toEqual([
      ["cluster", [d1]],
      ["endpoints", [d1]],
    ]);
  });

  it("splits many resources over several responses", async () => {
    world.publish({
      clusters: Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`driver|sjns-a-dev/a${i}|u`, 1])),
    });
    const client = world.connect();
    client.ask("cluster");
    const sizes = (await client.settled()).map(({ names }) => names.length);
    expect(sizes).toEqual([100, 100, 50]);
  });
});

describe("unknown names", () => {
  it("answers unknown endpoints at once, with none, and sends them when they come", async () => {
    world.publish({});
    const client = world.connect();
    client.ask("endpoints", { subscribe: [d1] });
    const empty = await client.take();
    expect(empty.content(d1)).toEqual({ cluster_name: d1 });
    world.publish({ endpoints: { [d1]: 7 } });
    expect((await client.take()).names).toEqual([d1]);
  });

  it.each(["nobody", "driver|UPPER/x|u", "driver|a/b"])("says at once that there is no cluster %s", async (name) => {
    world.publish({});
    const client = world.connect();
    client.ask("cluster", { subscribe: [name] });
    expect((await client.settled()).map(({ removed }) => removed)).toEqual([[name]]);
    expect(world.unknown).toEqual([]);
  });

  it("awaits a driver's cluster, and sends it as soon as it is known", async () => {
    world.publish({});
    const client = world.connect();
    client.ask("cluster", { subscribe: [dx] });
    expect(await client.settled()).toEqual([]);
    expect(world.unknown).toEqual([dx]);
    world.publish({ clusters: { [dx]: 1 } });
    expect((await client.take()).names).toEqual([dx]);
    expect(await client.settled()).toEqual([]);
  });

  it("says after the wait that a driver's cluster is not there, and still sends it when it comes late", async () => {
    world.publish({});
    const client = world.connect();
    client.ask("cluster", { subscribe: [dx] });
    const asked = performance.now();
    expect((await client.take()).removed).toEqual([dx]);
    expect(performance.now() - asked).toBeGreaterThan(250);
    world.publish({ clusters: { [dx]: 1 } });
    expect((await client.take()).names).toEqual([dx]);
  });

  it("says at once that a cluster which the client has is gone", async () => {
    world.publish({});
    const client = world.connect();
    client.ask("cluster", { subscribe: [dx], initial: { [dx]: "v" } });
    expect((await client.settled()).map(({ removed }) => removed)).toEqual([[dx]]);
  });
});
