import { beforeEach, describe, expect, it } from "vitest";
import { createRegistry, type Registry } from "../../../src/drivers/registry.ts";
import { createPublisher, type Publisher, type PublisherOptions } from "../../../src/flows/publish.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { Secret } from "../../../src/kernel/secret.ts";
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

  it("collects changes until it is quiet for 100 ms", async () => {
    registry.sink.synced();
    start();
    put("a");
    await clock.advance(99);
    put("b");
    await clock.advance(99);
    expect(changes).toHaveLength(1);
    await clock.advance(1);
    expect(changes).toHaveLength(2);
    expect(cache.size(typeUrls.endpoints)).toBe(2);
  });

  it("collects changes for a second at most", async () => {
    registry.sink.synced();
    start();
    for (let i = 0; i < 10; i += 1) {
      put(`a${i}`);
      await clock.advance(99);
    }
    expect(changes).toHaveLength(1);
    for (let i = 0; i < 5; i += 1) {
      put(`b${i}`);
      await clock.advance(99);
    }
    expect(changes).toHaveLength(2);
  });

  it("does not collect while somebody waits, or when it is told", () => {
    registry.sink.synced();
    let waiting = true;
    const publisher = start({ awaited: () => waiting });
    put("a");
    expect(changes).toHaveLength(2);
    waiting = false;
    put("b");
    expect(changes).toHaveLength(2);
    publisher.publishNow();
    expect(changes).toHaveLength(3);
    publisher.publishNow();
    expect(changes).toHaveLength(3);
  });

  it("tells at once of a driver that is gone, of several in a row as of other changes", async () => {
    for (const name of ["a", "b", "c"]) put(name);
    registry.sink.synced();
    start();
    const gone = (name: string) => {
      const { uid, key } = exampleDriver(name);
      registry.sink.remove({ uid, key, cause: "died", summary: "killed", at: clock.now(), connectSessions: [] });
    };
    await clock.advance(1_000);
    gone("a");
    expect(changes).toHaveLength(2);
    gone("b");
    gone("c");
    expect(changes).toHaveLength(2);
    await clock.advance(100);
    expect(changes).toHaveLength(3);
    expect(cache.size(typeUrls.endpoints)).toBe(0);
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

  it("keeps what is published when a snapshot cannot be made", async () => {
    registry.sink.synced();
    let broken = false;
    const publisher = start({
      registry: {
        synced: true,
        onChange: (listener) => registry.onChange(listener),
        catalog() {
          if (broken) throw new Error("broken");
          return registry.catalog();
        },
      },
    });
    broken = true;
    put("a");
    await clock.advance(100);
    expect([publisher.ready, changes.length]).toEqual([true, 1]);
    expect(lines.map(({ message }) => message)).toEqual(["a snapshot could not be built"]);
    broken = false;
    put("b");
    await clock.advance(100);
    expect(cache.size(typeUrls.endpoints)).toBe(2);
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
