import { afterEach, describe, expect, it } from "vitest";
import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";
import { createReflector } from "../../../src/edges/kubernetes/reflector.ts";
import type { ReflectorState } from "../../../src/edges/kubernetes/reflector-state.ts";
import { countingMetrics } from "../../support/counting-metrics.ts";
import { createFakeClock, settled } from "../../support/fake-clock.ts";
import { type LogLine, recordingLog } from "../../support/recording-log.ts";
import { noAnswer, scriptedKubeApi } from "../../support/scripted-kube-api.ts";

const path = "/api/v1/pods";
const object = (name: string, version: number): KubeObject => ({
  metadata: { name, resourceVersion: String(version) },
});
const listOf = (version: number, ...names: string[]) => ({
  metadata: { resourceVersion: String(version) },
  items: names.map((name) => object(name, version)),
});
const expired = () => new ApiError(410, "Expired", "too old resource version");
const expiredEvent = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };

const endings: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

async function start({ random = 0, staleAfterMs = 90_000, run = true } = {}) {
  const clock = createFakeClock();
  const api = scriptedKubeApi(() => listOf(10, "a", "b"));
  const metrics = countingMetrics();
  const lines: LogLine[] = [];
  const known = new Map<string, string>();
  const told: string[] = [];
  const states: ReflectorState["kind"][] = [];
  let broken = false;
  const note = (what: string, change: () => void) => {
    told.push(what);
    change();
    if (broken) throw new Error("broken sink");
  };
  const put = (item: KubeObject) => known.set(item.metadata.name, item.metadata.resourceVersion ?? "");
  const reflector = createReflector<KubeObject>({
    api,
    path,
    resource: "pods",
    labelSelector: "app=x",
    sink: {
      replaced: (items) =>
        note("replaced", () => {
          known.clear();
          for (const item of items) put(item);
        }),
      upserted: (item) => note(`upserted ${item.metadata.name}`, () => put(item)),
      deleted: (item) => note(`deleted ${item.metadata.name}`, () => void known.delete(item.metadata.name)),
    },
    clock,
    log: recordingLog(lines),
    metrics,
    random: () => random,
    pageSize: 2,
    staleAfterMs,
  });
  reflector.onState(({ kind }) => states.push(kind));
  const stop = new AbortController();
  const begin = () => {
    const running = reflector.run(stop.signal);
    endings.push(async () => {
      stop.abort();
      await running;
      expect(clock.pending).toBe(0);
    });
  };
  if (run) begin();
  await settled();
  return {
    clock,
    api,
    metrics,
    lines,
    known,
    told,
    states,
    reflector,
    begin,
    breakSink: () => {
      broken = true;
    },
    relists: (cause: string) => metrics.value("gatehouse_kubernetes_relists_total", { resource: "pods", cause }),
  };
}

describe("reflector: list and watch", () => {
  it("lists page by page, then watches from the list's version", async () => {
    const world = await start({ run: false, random: 0.5 });
    world.api.answer = ({ query }) =>
      query?.["continue"] === "more"
        ? listOf(10, "c")
        : { ...listOf(9, "a", "b"), metadata: { resourceVersion: "10", continue: "more" } };
    world.begin();
    await settled();
    expect(world.api.calls.map(({ query }) => query)).toEqual([
      { labelSelector: "app=x", fieldSelector: undefined, limit: 2, continue: undefined },
      { labelSelector: "app=x", fieldSelector: undefined, limit: 2, continue: "more" },
    ]);
    expect(world.told).toEqual(["replaced"]);
    expect([...world.known.keys()]).toEqual(["a", "b", "c"]);
    expect(world.api.latest.query).toEqual({
      labelSelector: "app=x",
      fieldSelector: undefined,
      resourceVersion: "10",
      allowWatchBookmarks: true,
      timeoutSeconds: 270,
    });
    expect(world.reflector.state()).toEqual({ kind: "live", since: 1_000_000, lastHeard: 1_000_000 });
  });

  it("lists in one piece where a page came too late", async () => {
    const world = await start({ run: false });
    world.api.answer = ({ query }) => {
      if (query?.["continue"] !== undefined) throw expired();
      if (query?.["limit"] === undefined) return listOf(20, "a", "c");
      return { ...listOf(9, "a", "b"), metadata: { resourceVersion: "10", continue: "more" } };
    };
    world.begin();
    await settled();
    expect(world.told).toEqual(["replaced"]);
    expect([...world.known]).toEqual([
      ["a", "20"],
      ["c", "20"],
    ]);
    expect(world.api.latest.query["resourceVersion"]).toBe("20");
  });

  it("reports changes in their order and goes on from the last version after a clean end", async () => {
    const world = await start();
    const { latest } = world.api;
    latest.event("ADDED", object("c", 11));
    latest.event("MODIFIED", object("a", 12));
    latest.event("DELETED", object("b", 13));
    latest.event("BOOKMARK", object("", 17));
    latest.end();
    await settled();
    expect(world.told).toEqual(["replaced", "upserted c", "upserted a", "deleted b"]);
    expect(world.api.latest.query["resourceVersion"]).toBe("17");
    expect(world.api.calls).toHaveLength(1);
    expect(world.metrics.value("gatehouse_kubernetes_events_total", { resource: "pods" })).toBe(3);
    expect(world.states).toEqual(["live"]);
  });

  it("remembers when it last heard", async () => {
    const world = await start();
    await world.clock.advance(30_000);
    expect(world.reflector.state().lastHeard).toBe(1_000_000);
    world.api.latest.event("BOOKMARK", object("", 17));
    expect(world.reflector.state()).toEqual({ kind: "live", since: 1_000_000, lastHeard: 1_030_000 });
    await world.clock.advance(1_000);
    world.api.latest.end();
    await settled();
    expect(world.reflector.state().lastHeard).toBe(1_031_000);
  });

  it("goes on where its sink throws, and logs it", async () => {
    const world = await start();
    world.breakSink();
    world.api.latest.event("ADDED", object("c", 11));
    world.api.latest.event("ADDED", object("d", 12));
    expect(world.told).toEqual(["replaced", "upserted c", "upserted d"]);
    expect(world.lines).toHaveLength(2);
    expect(world.reflector.state().kind).toBe("live");
  });
});

describe("reflector: relists", () => {
  it("when the version is too old, told by an ERROR event", async () => {
    const world = await start();
    world.api.latest.event("ADDED", object("c", 11));
    world.api.answer = () => listOf(50, "d");
    world.api.latest.event("ERROR", expiredEvent);
    await settled();
    expect([...world.known]).toEqual([["d", "50"]]);
    expect(world.api.latest.query["resourceVersion"]).toBe("50");
    expect(world.relists("expired")).toBe(1);
    expect(world.states).toEqual(["live", "listing", "live"]);
  });

  it("when the version is too old, told by the status", async () => {
    const world = await start();
    world.api.latest.fail(expired());
    await settled();
    expect(world.relists("expired")).toBe(1);
    expect(world.told).toEqual(["replaced", "replaced"]);
  });

  it("not in a tight loop where every version is too old", async () => {
    const world = await start();
    world.api.refusal = expired();
    world.api.latest.fail(expired());
    await settled();
    const before = world.api.calls.length;
    expect(before).toBeLessThanOrEqual(3);
    await world.clock.advance(1_000);
    expect(world.api.calls.length - before).toBeLessThanOrEqual(5);
  });

  it("when nothing was heard for too long, and takes nothing from the old watch any more", async () => {
    const world = await start({ staleAfterMs: 90_000 });
    const old = world.api.latest;
    await world.clock.advance(60_000);
    old.event("BOOKMARK", object("", 17));
    await world.clock.advance(89_000);
    expect(old.aborted).toBe(false);
    world.api.answer = () => listOf(5, "a");
    await world.clock.advance(1_000);
    expect(old.aborted).toBe(true);
    // An API server that was set back to an earlier state: its versions are lower.
    expect(world.api.latest.query["resourceVersion"]).toBe("5");
    expect(world.relists("silent")).toBe(1);
    old.event("ADDED", object("ghost", 18));
    expect([...world.known.keys()]).toEqual(["a"]);
  });
});

const uninstalled = () => new ApiError(404, "NotFound", "the server could not find the requested resource");

describe("reflector: troubles", () => {
  it("asks every 10 s for a collection that is absent", async () => {
    const world = await start({ run: false });
    world.api.answer = () => {
      throw uninstalled();
    };
    world.begin();
    await settled();
    expect(world.reflector.state()).toMatchObject({ kind: "absent", lastHeard: 0 });
    await world.clock.advance(30_000);
    expect(world.api.calls).toHaveLength(4);
    world.api.answer = () => listOf(3, "a");
    await world.clock.advance(10_000);
    expect(world.reflector.state()).toMatchObject({ kind: "live", lastHeard: 1_040_000 });
    expect(world.told).toEqual(["replaced", "replaced"]);
    expect(world.metrics.value("gatehouse_kubernetes_relists_total")).toBe(0);
  });

  it("takes a collection that is absent for an empty one, though nobody told of the objects' end", async () => {
    const world = await start();
    expect([...world.known.keys()]).not.toEqual([]);
    world.api.answer = () => {
      throw uninstalled();
    };
    world.api.latest.fail(uninstalled());
    await settled();
    expect(world.reflector.state().kind).toBe("absent");
    await world.clock.advance(20_000);
    expect([...world.known.keys()]).toEqual([]);
    expect(world.told).toEqual(["replaced", "replaced"]);
  });

  it("tells that it may not read, keeps what it knew, and tries at intervals of at most 30 s", async () => {
    const world = await start({ random: 0.999 });
    world.api.refusal = new ApiError(403, "Forbidden", "pods is forbidden");
    world.api.latest.end();
    await world.clock.advance(2_000);
    world.api.latest.fail(world.api.refusal);
    await settled();
    expect(world.reflector.state()).toMatchObject({ kind: "forbidden", message: "pods is forbidden" });
    await world.clock.advance(300_000);
    world.api.refusal = undefined;
    await world.clock.advance(30_000);
    expect(world.reflector.state().kind).toBe("live");
    expect(world.told).toEqual(["replaced"]);
  });

  it("removes nothing while the server is away, and goes on from where it was", async () => {
    const world = await start();
    world.api.latest.event("ADDED", object("c", 11));
    world.api.refusal = noAnswer();
    world.api.latest.fail(noAnswer());
    await settled();
    expect(world.reflector.state()).toMatchObject({ kind: "away", message: noAnswer().message, since: 1_000_000 });
    await world.clock.advance(600_000);
    expect(world.reflector.state()).toMatchObject({ kind: "away", since: 1_000_000, lastHeard: 1_000_000 });
    expect([...world.known.keys()]).toEqual(["a", "b", "c"]);
    world.api.refusal = undefined;
    await world.clock.advance(30_000);
    expect(world.reflector.state().kind).toBe("live");
    expect(world.api.latest.query["resourceVersion"]).toBe("11");
    expect(world.told).toEqual(["replaced", "upserted c"]);
    expect(world.lines).toHaveLength(1);
  });

  it.each([
    [0, [200, 200, 200, 200, 200, 200, 200, 200, 200]],
    [1, [400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]],
  ])("waits longer after each failure, spread by %d", async (random, delays) => {
    const world = await start({ run: false, random });
    world.api.answer = () => {
      throw new ApiError(503, "ServiceUnavailable", "starting");
    };
    world.begin();
    await settled();
    for (const [index, delay] of delays.entries()) {
      await world.clock.advance(delay - 1);
      expect(world.api.calls).toHaveLength(index + 1);
      await world.clock.advance(1);
      expect(world.api.calls).toHaveLength(index + 2);
    }
  });

  it("lists at once where the version is too old after a long absence", async () => {
    const world = await start({ random: 1 });
    world.api.refusal = noAnswer();
    world.api.latest.fail(noAnswer());
    await world.clock.advance(120_000);
    world.api.refusal = expired();
    world.reflector.hurry();
    const count = world.api.calls.length;
    await world.clock.advance(1_000);
    expect(world.api.calls.length).toBeGreaterThan(count);
    expect(world.told).toEqual(["replaced", "replaced"]);
  });

  it("waits as long as the server asks", async () => {
    const world = await start({ run: false });
    world.api.answer = () => {
      throw new ApiError(429, "TooManyRequests", "slow down", { retryAfterMs: 7_000 });
    };
    world.begin();
    await world.clock.advance(6_999);
    expect(world.api.calls).toHaveLength(1);
    await world.clock.advance(1);
    expect(world.api.calls).toHaveLength(2);
  });

  it("tries again within a second where it is told to hurry, not sooner than the server asked", async () => {
    const world = await start({ run: false, random: 0.999 });
    world.api.answer = () => {
      throw new ApiError(503, "ServiceUnavailable", "starting");
    };
    world.begin();
    await world.clock.advance(120_000);
    const count = world.api.calls.length;
    world.api.answer = () => {
      throw new ApiError(429, "TooManyRequests", "slow down", { retryAfterMs: 50_000 });
    };
    world.reflector.hurry();
    world.reflector.hurry();
    await world.clock.advance(1_000);
    expect(world.api.calls).toHaveLength(count + 1);
    world.reflector.hurry();
    await world.clock.advance(49_000);
    expect(world.api.calls).toHaveLength(count + 1);
    await world.clock.advance(1_000);
    expect(world.api.calls).toHaveLength(count + 2);
  });

  it("begins again with short delays after a watch that lasted", async () => {
    const world = await start({ random: 1 });
    world.api.refusal = noAnswer();
    world.api.latest.fail(noAnswer());
    await world.clock.advance(60_000);
    world.api.refusal = undefined;
    await world.clock.advance(30_000);
    const count = world.api.watches.length;
    await world.clock.advance(10_000);
    world.api.latest.fail(noAnswer());
    await world.clock.advance(400);
    expect(world.api.watches).toHaveLength(count + 1);
  });

  it("does not spin where every watch ends at once", async () => {
    const world = await start();
    for (let turn = 0; turn < 3; turn += 1) {
      const count = world.api.watches.length;
      world.api.latest.end();
      await settled();
      expect(world.api.watches).toHaveLength(count);
      expect(world.reflector.state().kind).toBe("away");
      await world.clock.advance(200);
      expect(world.api.watches).toHaveLength(count + 1);
    }
  });

  it("ends at once when told to, also while it waits", async () => {
    const waiting = await start({ run: false });
    waiting.api.answer = () => {
      throw noAnswer();
    };
    waiting.begin();
    await settled();
    const hung = await start({ run: false });
    hung.api.answer = async () => await new Promise(() => undefined);
    hung.begin();
    await settled();
    expect(hung.reflector.state().kind).toBe("listing");
    // `afterEach` ends both, and looks for timers.
  });
});
