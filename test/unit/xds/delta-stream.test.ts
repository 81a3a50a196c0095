import { beforeEach, describe, expect, it } from "vitest";
import { createDeltaStream, type DeltaRequest, type DeltaStream } from "../../../src/xds/delta-stream.ts";
import { createResourceCache, type ResourceCache } from "../../../src/xds/resource-cache.ts";

// The parts of the protocol's state that depend on time or on exact steps; the rules themselves are in test/features.

const cluster = "cluster";
const endpoints = "endpoints";
let cache: ResourceCache;
let stream: DeltaStream;

const request = (typeUrl: string, more: Partial<DeltaRequest> = {}): DeltaRequest => ({
  typeUrl,
  subscribe: [],
  unsubscribe: [],
  initialVersions: {},
  nonce: "",
  error: undefined,
  ...more,
});

function set(clusters: Readonly<Record<string, string>>): void {
  cache.replace({ [cluster]: new Map(Object.entries(clusters).map(([name, content]) => [name, { content }])) });
}

beforeEach(() => {
  cache = createResourceCache({
    encode: (_type, message) => new TextEncoder().encode(JSON.stringify(message)),
    hash: (bytes) => new TextDecoder().decode(bytes),
  });
  stream = createDeltaStream({
    cache,
    unknown: {
      placeholder: () => undefined,
      awaitUntil: (_type, name, now) => (name.startsWith("may-come") ? now + 2000 : undefined),
    },
    order: [cluster, endpoints],
    wildcardTypes: [cluster],
    clusterType: cluster,
    endpointsType: endpoints,
    maxResourcesPerResponse: 2,
    maxUnanswered: 3,
  });
  cache.onChange((change) => stream.changed(change));
  set({ a: "1" });
});

describe("awaited names", () => {
  it("are answered exactly when their time is over", () => {
    stream.request(request(cluster, { subscribe: ["may-come"] }));
    expect(stream.next(1000)).toBeUndefined();
    expect(stream.wakeAt()).toBe(3000);
    expect(stream.next(2999)).toBeUndefined();
    expect(stream.next(3000)?.removed).toEqual(["may-come"]);
    expect(stream.wakeAt()).toBeUndefined();
    expect(stream.next(9000)).toBeUndefined();
  });

  it("keep their time when the client asks again", () => {
    stream.request(request(cluster, { subscribe: ["may-come"] }));
    stream.next(1000);
    stream.request(request(cluster, { subscribe: ["may-come"] }));
    stream.next(2500);
    expect(stream.wakeAt()).toBe(3000);
  });

  it("are dropped when the client asks no more", () => {
    stream.request(request(cluster, { subscribe: ["may-come"] }));
    stream.next(1000);
    stream.request(request(cluster, { unsubscribe: ["may-come"] }));
    expect(stream.wakeAt()).toBeUndefined();
    expect(stream.next(9000)).toBeUndefined();
  });

  it("do not hold up the others", () => {
    stream.request(request(cluster, { subscribe: ["may-come", "a", "nobody"] }));
    expect(stream.next(0)?.resources.map(({ name }) => name)).toEqual(["a"]);
    expect(stream.next(0)?.removed).toEqual(["nobody"]);
    expect(stream.next(0)).toBeUndefined();
  });
});

describe("unanswered responses", () => {
  it("are bounded, and what was not sent is sent in its newest form", () => {
    stream.request(request(cluster));
    const nonces = [stream.next(0)?.nonce];
    for (const content of ["2", "3"]) {
      set({ a: content });
      nonces.push(stream.next(0)?.nonce);
    }
    set({ a: "4" });
    expect(stream.next(0)).toBeUndefined();
    set({ a: "5" });
    stream.request(request(cluster, { nonce: nonces[0] ?? "" }));
    expect(stream.next(0)?.resources[0]?.version).toContain("5");
  });

  it("that are refused are retried in halves with the versions of now", () => {
    set({ a: "1", b: "1" });
    stream.request(request(cluster));
    const first = stream.next(0);
    set({ a: "1", b: "2" });
    const refusal = stream.request(request(cluster, { nonce: first?.nonce ?? "", error: "bad" }));
    expect(refusal).toMatchObject({ error: "bad", sent: [{ name: "a" }, { name: "b" }] });
    expect(stream.next(0)?.resources.map(({ name, version }) => [name, version.includes("1")])).toEqual([["a", true]]);
    expect(stream.next(0)?.resources.map(({ name, version }) => [name, version.includes("2")])).toEqual([["b", true]]);
    expect(stream.next(0)).toBeUndefined();
  });
});

describe("a long push", () => {
  const names = ["b", "c", "d", "e", "f", "g"];
  const contents = (of: readonly string[]) => new Map(of.map((name) => [name, { content: name }]));
  const said = (response: ReturnType<DeltaStream["next"]>) =>
    response && [response.typeUrl, response.resources.map(({ name }) => name), response.removed];

  it("sends endpoints that are asked for between the clusters, and removals too", () => {
    cache.replace({ [cluster]: contents(["old", ...names]), [endpoints]: contents(["old", ...names]) });
    stream.request(request(cluster));
    expect(said(stream.next(0))).toEqual([cluster, ["old", "b"], []]);
    stream.request(request(endpoints, { subscribe: ["old", "b"] }));
    expect(said(stream.next(0))).toEqual([endpoints, ["old", "b"], []]);
    expect(said(stream.next(0))).toEqual([cluster, ["c", "d"], []]);
    cache.apply({ [cluster]: new Map([["old", undefined]]), [endpoints]: new Map([["old", undefined]]) });
    expect(said(stream.next(0))).toEqual([endpoints, [], ["old"]]);
    expect(said(stream.next(0))).toEqual([cluster, ["e", "f"], []]);
    expect(said(stream.next(0))).toEqual([cluster, [], ["old"]]);
  });

  it("does not let what somebody waits for stand in line", () => {
    cache.replace({ [cluster]: contents(names) });
    stream.request(request(cluster));
    expect(said(stream.next(0))).toEqual([cluster, ["b", "c"], []]);
    stream.request(request(cluster, { subscribe: ["g"] }));
    expect(said(stream.next(0))).toEqual([cluster, ["g"], []]);
    expect(said(stream.next(0))).toEqual([cluster, ["d", "e"], []]);
  });

  it("goes on with endpoints while clusters are not answered, and with nothing that comes after clusters", () => {
    cache.replace({
      [cluster]: contents(["a", ...names]),
      [endpoints]: contents(["a", ...names]),
      later: contents(["x"]),
    });
    stream.request(request(cluster));
    stream.request(request(endpoints, { subscribe: ["a", ...names] }));
    stream.request(request("later", { subscribe: ["x"] }));
    const sent = Array.from({ length: 12 }, () => stream.next(0)?.typeUrl).filter(Boolean);
    expect(sent).toEqual([cluster, endpoints, cluster, endpoints, cluster, endpoints]);
  });
});

describe("a name that comes and goes before it is sent", () => {
  it("is not sent, and not reported either", () => {
    stream.request(request(cluster));
    stream.next(0);
    set({ a: "1", b: "1" });
    set({ a: "1" });
    expect(stream.next(0)).toBeUndefined();
  });

  it("is sent again when it was reported as removed", () => {
    stream.request(request(cluster));
    stream.next(0);
    set({});
    expect(stream.next(0)?.removed).toEqual(["a"]);
    set({ a: "1" });
    expect(stream.next(0)?.resources).toHaveLength(1);
  });
});

describe("the cache", () => {
  it("does not encode a message again that it has encoded", () => {
    let encoded = 0;
    const counting = createResourceCache({
      encode: () => {
        encoded += 1;
        return new Uint8Array([encoded]);
      },
      hash: String,
    });
    const message = {};
    counting.replace({ t: new Map([["a", message]]) });
    counting.replace({ t: new Map([["a", message]]) });
    expect(encoded).toBe(1);
  });

  it("takes over a delta as a whole, and tells what differs", () => {
    const changes: string[] = [];
    cache.onChange((change) => {
      for (const [type, names] of change) changes.push(`${type} ${[...names].sort().join()}`);
    });
    const message = { content: "new" };
    cache.apply({ [cluster]: new Map([["b", message]]), [endpoints]: new Map([["b", { content: "e" }]]) });
    cache.apply({
      [cluster]: new Map<string, object | undefined>([
        ["b", { content: "new" }],
        ["nobody", undefined],
      ]),
    });
    cache.apply({
      [cluster]: new Map<string, object | undefined>([
        ["a", undefined],
        ["b", { content: "3" }],
      ]),
    });
    expect(changes).toEqual([`${cluster} b`, `${endpoints} b`, `${cluster} a,b`]);
    expect([[...cache.names(cluster)], cache.size(endpoints)]).toEqual([["b"], 1]);
  });

  it("takes over nothing of a delta that cannot be encoded, and no delta before there is anything", () => {
    const picky = createResourceCache({
      encode(_type, message) {
        if ("bad" in message) throw new Error("cannot encode");
        return new Uint8Array([1]);
      },
      hash: String,
    });
    expect(() => picky.apply({ t: new Map() })).toThrow("before there were any");
    picky.replace({ t: new Map([["a", {}]]) });
    const delta = new Map<string, object | undefined>([
      ["a", undefined],
      ["b", {}],
      ["c", { bad: 1 }],
    ]);
    expect(() => picky.apply({ t: delta })).toThrow("cannot encode");
    expect([...picky.names("t")]).toEqual(["a"]);
  });

  it("keeps the old set when the new one cannot be encoded", () => {
    const picky = createResourceCache({
      encode(_type, message) {
        if ("bad" in message) throw new Error("cannot encode");
        return new Uint8Array([1]);
      },
      hash: String,
    });
    picky.replace({ t: new Map([["a", {}]]) });
    expect(() => picky.replace({ t: new Map([["b", { bad: 1 }]]) })).toThrow("cannot encode");
    expect([...picky.names("t")]).toEqual(["a"]);
  });
});
