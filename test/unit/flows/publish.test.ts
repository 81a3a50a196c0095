import { beforeEach, describe, expect, it } from "vitest";
import { createRegistry, type Registry } from "../../../src/drivers/registry.ts";
import { createPublisher, type Publisher, type PublisherOptions } from "../../../src/flows/publish.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { Secret } from "../../../src/kernel/secret.ts";
import { driverClusterName } from "../../../src/snapshots/cluster-name.ts";
import { typeUrls } from "../../../src/snapshots/resource.ts";
import { type CacheChange, createResourceCache, type ResourceCache } from "../../../src/xds/resource-cache.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";
import { type LogLine, recordingLog } from "../../support/recording-log.ts";
import { exampleCertificate, exampleDriver, exampleSettings } from "../snapshots/example.ts";

let clock: FakeClock;
let registry: Registry;
let cache: ResourceCache;
let changes: CacheChange[];
let lines: LogLine[];

const put = (app: string, more = {}) => registry.sink.upsert({ ...exampleDriver(app, more), recorded: undefined });

function start(more: Partial<PublisherOptions> = {}): Publisher {
  const log = recordingLog(lines);
  const settings = exampleSettings;
  return createPublisher({ registry, cache, settings, certificate: exampleCertificate, clock, log, ...more });
}

function gone(app: string): void {
  const { uid, key } = exampleDriver(app);
  registry.sink.remove({ uid, key, cause: "died", summary: "killed", at: clock.now(), connectSessions: [] });
}

const types = (change: CacheChange | undefined) => [...(change?.keys() ?? [])];

beforeEach(() => {
  clock = createFakeClock();
  lines = [];
  changes = [];
  registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
  cache = createResourceCache({
    encode: (_type, message) =>
      new TextEncoder().encode(JSON.stringify(message, (_k, v: unknown) => (v instanceof Secret ? v.reveal() : v))),
    hash: (bytes) => new TextDecoder().decode(bytes),
  });
  cache.onChange((change) => changes.push(change));
});

describe("createPublisher", () => {
  it("publishes nothing until all drivers are known, then everything at once", async () => {
    const publisher = start();
    put("a");
    publisher.publishNow();
    publisher.setCertificate({ ...exampleCertificate });
    await clock.advance(60_000);
    expect([changes.length, publisher.ready, cache.ready]).toEqual([0, false, false]);
    registry.sink.synced();
    expect([changes.length, publisher.ready, cache.size(typeUrls.endpoints)]).toEqual([1, true, 1]);
  });

  it("is ready at once when the drivers are known already", () => {
    registry.sink.synced();
    expect(start().ready).toBe(true);
  });

  it("publishes the first change after quiet at once, and collects those that follow until it is quiet again", async () => {
    registry.sink.synced();
    start();
    await clock.advance(1);
    put("a");
    expect(changes).toHaveLength(2);
    await clock.advance(50);
    put("b");
    await clock.advance(99);
    put("c");
    await clock.advance(99);
    expect(changes).toHaveLength(2);
    await clock.advance(1);
    expect(changes).toHaveLength(3);
    expect(cache.size(typeUrls.endpoints)).toBe(3);
    await clock.advance(1);
    put("d");
    expect(changes).toHaveLength(4);
  });

  it("collects changes for a second at most", async () => {
    registry.sink.synced();
    start();
    put("first");
    await clock.advance(1);
    for (let i = 0; i < 10; i += 1) {
      put(`a${i}`);
      await clock.advance(99);
    }
    expect(changes).toHaveLength(2);
    for (let i = 0; i < 5; i += 1) {
      put(`b${i}`);
      await clock.advance(99);
    }
    expect(changes).toHaveLength(3);
  });

  it("publishes many changes a turn's work at a time, what is gone first", async () => {
    for (let i = 0; i < 10; i += 1) put(`old${i}`);
    registry.sink.synced();
    start();
    await clock.advance(1);
    for (let i = 0; i < 200; i += 1) put(`a${i}`);
    expect(changes.map((change) => change.get(typeUrls.cluster)?.size)).toEqual([13, 1]);
    for (let i = 0; i < 10; i += 1) gone(`old${i}`);
    await clock.advance(100);
    expect(changes.map((change) => change.get(typeUrls.cluster)?.size)).toEqual([13, 1, 10, 64, 64, 64, 7]);
    expect(cache.size(typeUrls.endpoints)).toBe(200);
    expect(clock.pending).toBe(0);
  });

  it("does not collect while somebody waits, or when it is told", async () => {
    registry.sink.synced();
    let waiting = false;
    const publisher = start({ awaited: () => waiting });
    put("first");
    await clock.advance(1);
    put("a");
    expect(changes).toHaveLength(2);
    waiting = true;
    put("b");
    expect(changes).toHaveLength(3);
    await clock.advance(1);
    waiting = false;
    put("c");
    expect(changes).toHaveLength(3);
    publisher.publishNow();
    expect(changes).toHaveLength(4);
    publisher.publishNow();
    expect(changes).toHaveLength(4);
  });

  it("tells at once of drivers that are gone, those of one turn together", async () => {
    for (const name of ["a", "b", "c", "d"]) put(name);
    registry.sink.synced();
    start();
    await clock.advance(1_000);
    put("e");
    await clock.advance(1);
    gone("a");
    expect(changes).toHaveLength(3);
    gone("b");
    gone("c");
    expect(changes).toHaveLength(3);
    await clock.advance(0);
    expect(changes).toHaveLength(4);
    put("d", { phase: "failed" });
    await clock.advance(0);
    expect([...cache.names(typeUrls.endpoints)]).toEqual([driverClusterName(exampleDriver("e"))]);
  });

  it("sends a new certificate and nothing else", () => {
    put("a");
    registry.sink.synced();
    const publisher = start();
    publisher.setCertificate({ chain: "new chain", key: new Secret("new key") });
    expect(types(changes.at(-1))).toEqual([typeUrls.secret]);
  });

  it("does not publish what changes no route", async () => {
    put("a");
    registry.sink.synced();
    start();
    registry.sink.upsert({ ...exampleDriver("b"), address: undefined, phase: "starting", recorded: undefined });
    await clock.advance(60_000);
    expect(changes).toHaveLength(1);
  });

  it("offers the others when one driver cannot be offered, and says so once", async () => {
    registry.sink.synced();
    start();
    put("bad", { address: { host: "not-an-ip", port: 1 } });
    put("good");
    await clock.advance(100);
    put("more");
    await clock.advance(100);
    expect(cache.size(typeUrls.endpoints)).toBe(2);
    expect(lines.map(({ message }) => message)).toEqual(["a driver cannot be offered to Envoy"]);
  });

  it("keeps what is published when a change cannot be taken over, and makes up for it with the next one", async () => {
    put("old");
    registry.sink.synced();
    let broken = false;
    const publisher = start({
      registry: {
        synced: true,
        onChange: (listener) => registry.onChange(listener),
        catalog: () => registry.catalog(),
        byUid(uid) {
          if (broken) throw new Error("broken");
          return registry.byUid(uid);
        },
      },
    });
    broken = true;
    put("a");
    await clock.advance(1_000);
    expect([publisher.ready, changes.length]).toEqual([true, 1]);
    expect(lines.map(({ message }) => message)).toEqual(["a snapshot could not be built"]);
    broken = false;
    gone("old");
    await clock.advance(1_000);
    expect([...cache.names(typeUrls.endpoints)]).toEqual([driverClusterName(exampleDriver("a"))]);
  });

  it("keeps what is published when a snapshot cannot be made", async () => {
    let broken = true;
    const publisher = start({
      registry: {
        synced: true,
        onChange: (listener) => registry.onChange(listener),
        byUid: (uid) => registry.byUid(uid),
        catalog() {
          if (broken) throw new Error("broken");
          return registry.catalog();
        },
      },
    });
    expect([publisher.ready, changes.length]).toEqual([false, 0]);
    expect(lines.map(({ message }) => message)).toEqual(["a snapshot could not be built"]);
    broken = false;
    registry.sink.synced();
    expect(publisher.ready).toBe(true);
  });

  it("does nothing any more once it is closed", async () => {
    registry.sink.synced();
    const publisher = start();
    put("a");
    publisher.close();
    put("b");
    await clock.advance(60_000);
    expect(changes).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });
});
