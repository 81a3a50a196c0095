import { describe, expect, it } from "vitest";
import { failureMessage, maxFailureMessageBytes } from "../../../src/drivers/failure-message.ts";
import { createRegistry, type RegistryChange } from "../../../src/drivers/registry.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { Secret } from "../../../src/kernel/secret.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { aDriver, aKey } from "../../support/fake-runtime.ts";

const never = new AbortController().signal;

function setUp(maxEnds?: number) {
  const registry = createRegistry({
    clock: createFakeClock(),
    log: silentLog,
    metrics: noMetrics,
    ...(maxEnds === undefined ? {} : { maxEnds }),
  });
  const changes: RegistryChange[] = [];
  registry.onChange((change) => changes.push(change));
  return { registry, changes };
}

const end = (uid: string, key = aKey("app")) =>
  ({ uid, key, cause: "died", summary: "the driver died: exit code 137", at: 5_000 }) as const;

const recorded = (connectSessions: readonly string[], lastActive = 1) =>
  ({ v: 1, lastActive, streamingQueries: {}, detached: [], connectSessions }) as const;

describe("what the registry says changed", () => {
  it("says nothing about the same value twice", () => {
    const { registry, changes } = setUp();
    registry.sink.upsert(aDriver());
    const catalog = registry.catalog();
    registry.sink.upsert(aDriver({ token: new Secret("token"), key: { ...aKey("app") } }));
    expect(changes).toHaveLength(1);
    expect(registry.catalog()).toBe(catalog);
  });

  it.each([
    ["phase", { phase: "draining" as const }],
    ["address", { address: { host: "127.0.0.2", port: 15002 } }],
    ["token", { token: new Secret("another") }],
    ["draining", { draining: { reason: "idle" as const, since: 3 } }],
    ["groups", { sharedWithGroups: ["bi"] }],
  ])("makes a new generation when the %s changes", (_, change) => {
    const { registry, changes } = setUp();
    registry.sink.upsert(aDriver());
    const { generation } = registry.catalog();
    registry.sink.upsert(aDriver(change));
    expect(registry.catalog().generation).toBeGreaterThan(generation);
    expect(changes.at(-1)).toMatchObject({ kind: "upsert", routes: true });
  });

  it("tells once of a driver that ended while nobody watched", () => {
    const { registry, changes } = setUp();
    for (let told = 0; told < 2; told += 1) registry.sink.remove(end("unseen"));
    expect(changes).toEqual([{ kind: "remove", end: end("unseen"), before: undefined, routes: false }]);
  });

  it("tells of a new activity record, and makes no new generation of it", () => {
    const { registry, changes } = setUp();
    registry.sink.upsert(aDriver());
    const catalog = registry.catalog();
    registry.sink.upsert(aDriver({ recorded: recorded(["a"]) }));
    expect(changes.at(-1)).toMatchObject({ kind: "upsert", routes: false });
    expect(registry.byUid("uid-1")?.recorded?.connectSessions).toEqual(["a"]);
    expect(registry.catalog()).toBe(catalog);
  });

  it("makes no generation of drivers that cannot be routed to", () => {
    const { registry } = setUp();
    registry.sink.upsert(aDriver({ phase: "starting", address: undefined }));
    registry.sink.upsert(aDriver({ phase: "failed", address: undefined }));
    registry.sink.remove(end("uid-1"));
    expect(registry.catalog()).toEqual({ generation: 0, drivers: [] });
  });

  it("goes on when a listener throws", () => {
    const { registry } = setUp();
    const seen: string[] = [];
    registry.onChange(() => {
      throw new Error("fault");
    });
    registry.onChange((change) => seen.push(change.kind));
    registry.sink.upsert(aDriver());
    expect(seen).toEqual(["upsert"]);
  });
});

describe("the catalog", () => {
  it("sorts by key, then uid, and holds only what can be routed to", () => {
    const { registry } = setUp();
    registry.sink.upsert(aDriver({ uid: "2", key: aKey("b") }));
    registry.sink.upsert(aDriver({ uid: "9", key: aKey("a"), createdAt: 1 }));
    registry.sink.upsert(aDriver({ uid: "1", key: aKey("a"), createdAt: 2, phase: "draining" }));
    registry.sink.upsert(aDriver({ uid: "0", key: aKey("c"), phase: "starting", address: undefined }));
    expect(registry.catalog().drivers.map((driver) => driver.uid)).toEqual(["1", "9", "2"]);
  });

  it("keeps both drivers of a key while the newest serves it", () => {
    const { registry } = setUp();
    registry.sink.upsert(aDriver({ uid: "new", createdAt: 2 }));
    registry.sink.upsert(aDriver({ uid: "old", createdAt: 1 }));
    expect(registry.byKey(aKey("app"))?.uid).toBe("new");
    expect(registry.catalog().drivers).toHaveLength(2);
    registry.sink.remove(end("new"));
    expect(registry.byKey(aKey("app"))?.uid).toBe("old");
  });
});

describe("waiting for a driver", () => {
  it("resolves at once, or when the driver is ready", async () => {
    const { registry } = setUp();
    const first = registry.waitFor(aKey("app"), never);
    registry.sink.upsert(aDriver({ phase: "starting", address: undefined }));
    registry.sink.upsert(aDriver());
    expect((await first).phase).toBe("ready");
    expect((await registry.waitFor(aKey("app"), never)).uid).toBe("uid-1");
  });

  it("rejects with the cause and the last log lines as soon as the driver failed", async () => {
    const { registry } = setUp();
    const wait = registry.waitFor(aKey("app"), never);
    const failure = { summary: "exit code 1", logTail: ["line 1", "line 2"], exitCode: 1, at: 1 };
    registry.sink.upsert(aDriver({ phase: "failed", address: undefined, failure }));
    await expect(wait).rejects.toMatchObject({ reason: "DRIVER_FAILED", message: "exit code 1\nline 1\nline 2" });
  });

  it("rejects when the driver is gone", async () => {
    const { registry } = setUp();
    registry.sink.upsert(aDriver({ phase: "starting", address: undefined }));
    const wait = registry.waitFor(aKey("app"), never);
    registry.sink.remove(end("uid-1"));
    await expect(wait).rejects.toMatchObject({ reason: "DRIVER_FAILED", message: expect.stringContaining("137") });
  });

  it("takes no notice of the failed driver that is being replaced", async () => {
    const { registry } = setUp();
    registry.sink.upsert(aDriver({ uid: "old", phase: "failed", address: undefined }));
    const wait = registry.waitFor(aKey("app"), never, "old");
    registry.sink.remove(end("old"));
    registry.sink.upsert(aDriver({ uid: "new" }));
    expect((await wait).uid).toBe("new");
  });

  it("rejects when the signal aborts, before or later", async () => {
    const { registry } = setUp();
    const caller = new AbortController();
    const wait = registry.waitFor(aKey("app"), caller.signal);
    caller.abort();
    await expect(wait).rejects.toMatchObject({ reason: "REQUEST_CANCELLED" });
    await expect(registry.waitFor(aKey("app"), caller.signal)).rejects.toMatchObject({ reason: "REQUEST_CANCELLED" });
  });
});

describe("drivers that end", () => {
  it("hides an ending driver from its key at once and keeps its route", () => {
    const { registry } = setUp();
    registry.sink.upsert(aDriver());
    registry.markEnding("uid-1");
    expect(registry.byKey(aKey("app"))).toBeUndefined();
    expect(registry.endingOf(aKey("app"))?.uid).toBe("uid-1");
    expect(registry.catalog().drivers).toHaveLength(1);
    registry.unmarkEnding("uid-1");
    expect(registry.byKey(aKey("app"))?.uid).toBe("uid-1");
  });

  it("remembers ends by key, the newest last, within bounds", () => {
    const { registry } = setUp(2);
    for (const app of ["a", "b", "c"]) registry.sink.remove(end(app, aKey(app)));
    expect(registry.endsOf(aKey("a"))).toEqual([]);
    for (let i = 0; i < 20; i += 1) registry.sink.remove(end(`c-${i}`, aKey("c")));
    expect(registry.endsOf(aKey("c")).map((one) => one.uid)).toContain("c-19");
    expect(registry.endsOf(aKey("c"))).toHaveLength(8);
    expect(registry.endsOf(aKey("b"))).toHaveLength(1);
  });

  it("knows on which driver a Connect session lived, also when that is gone", () => {
    const { registry } = setUp();
    registry.sink.upsert(aDriver({ uid: "old", recorded: recorded(["s1"]) }));
    registry.noteConnectSession("old", "s2");
    registry.sink.remove(end("old"));
    registry.sink.upsert(aDriver({ uid: "new" }));
    expect(registry.connectSessionDriver(aKey("app"), "s1")).toBe("old");
    expect(registry.connectSessionDriver(aKey("app"), "s2")).toBe("old");
    expect(registry.connectSessionDriver(aKey("app"), "s3")).toBeUndefined();
    expect(registry.connectSessionDriver(aKey("other"), "s1")).toBeUndefined();
    registry.sink.remove({ ...end("died-while-nobody-watched"), connectSessions: ["s4"] });
    expect(registry.connectSessionDriver(aKey("app"), "s4")).toBe("died-while-nobody-watched");
    registry.noteConnectSession("new", "s1");
    expect(registry.connectSessionDriver(aKey("app"), "s1")).toBe("new");
  });
});

describe("being in sync", () => {
  it("is told once", () => {
    const { registry, changes } = setUp();
    expect(registry.synced).toBe(false);
    registry.sink.synced();
    registry.sink.synced();
    expect(registry.synced).toBe(true);
    expect(changes).toEqual([{ kind: "synced" }]);
  });
});

describe("the message of a failure", () => {
  it("keeps the last lines within 2 KiB, without control characters", () => {
    const logTail = Array.from({ length: 100 }, (_, i) => `\u001b[31mline ${i} ${"ü".repeat(40)}\u0007`);
    const message = failureMessage({ summary: "exit\tcode 1", logTail });
    expect(new TextEncoder().encode(message).length).toBeLessThanOrEqual(maxFailureMessageBytes);
    expect(message.startsWith("exit code 1\nline ")).toBe(true);
    expect(message.endsWith(`line 99 ${"ü".repeat(40)}`)).toBe(true);
    expect(message.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
    const long = failureMessage({ summary: "€".repeat(5_000), logTail: ["x"] });
    expect(new TextEncoder().encode(long).length).toBeLessThanOrEqual(maxFailureMessageBytes);
  });
});
