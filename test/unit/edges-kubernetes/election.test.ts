import { afterEach, describe, expect, it } from "vitest";
import { type ApiCall, ApiError } from "../../../src/edges/kubernetes/api.ts";
import { createElection } from "../../../src/edges/kubernetes/election.ts";
import type { Lease, Stored } from "../../../src/edges/kubernetes/objects.ts";
import { countingMetrics } from "../../support/counting-metrics.ts";
import { createFakeClock, settled } from "../../support/fake-clock.ts";
import { type LogLine, recordingLog } from "../../support/recording-log.ts";
import { noAnswer, scriptedKubeApi } from "../../support/scripted-kube-api.ts";

const lease = {
  namespace: "gatehouse",
  name: "gatehouse",
  durationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryMs: 2_000,
};

/** One Lease with optimistic concurrency, as the API server keeps it. */
function leaseStore() {
  let stored: Stored<Lease> | undefined;
  let version = 100;
  const writes: Lease["spec"][] = [];
  const keep = (body: unknown, uid: string) => {
    version += 1;
    const { spec } = body as Lease;
    stored = { metadata: { name: lease.name, uid, resourceVersion: String(version) }, spec: spec ?? {} };
    writes.push(spec);
    return stored;
  };
  return {
    writes,
    get spec() {
      return stored?.spec;
    },
    remove() {
      stored = undefined;
    },
    put: (spec: NonNullable<Lease["spec"]>) => keep({ spec }, "uid-1"),
    serve({ method, body }: ApiCall) {
      if (method === "GET") {
        if (stored === undefined) throw new ApiError(404, "NotFound", "leases not found");
        return stored;
      }
      if (method === "POST") {
        if (stored !== undefined) throw new ApiError(409, "AlreadyExists", "leases already exists");
        return keep(body, `uid-${version}`);
      }
      if (stored === undefined) throw new ApiError(404, "NotFound", "leases not found");
      if ((body as Stored<Lease>).metadata.resourceVersion !== stored.metadata.resourceVersion) {
        throw new ApiError(409, "Conflict", "the object has been modified");
      }
      return keep(body, stored.metadata.uid);
    },
  };
}

const endings: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

/** One replica with its own clocks; several share a store. */
function replica(name: string, store: ReturnType<typeof leaseStore>, start = 1_000_000) {
  const clock = createFakeClock(start);
  const api = scriptedKubeApi((call) => store.serve(call));
  const metrics = countingMetrics();
  const lines: LogLine[] = [];
  let skipped = 0;
  const election = createElection({
    api,
    lease,
    identity: `${name}|10.0.0.${name.length}:8472`,
    clock,
    log: recordingLog(lines),
    metrics,
    random: () => 0,
    nowPerformance: () => clock.now() - start + skipped,
  });
  const changes: boolean[] = [];
  election.onChange(() => changes.push(election.leads()));
  const stop = new AbortController();
  let running: Promise<void> | undefined;
  const end = async () => {
    stop.abort();
    await running;
    expect(clock.pending).toBe(0);
  };
  endings.push(end);
  return {
    ...election,
    identity: `${name}|10.0.0.${name.length}:8472`,
    api,
    clock,
    metrics,
    lines,
    changes,
    end,
    /** The process stands still: time goes on, timers do not fire. */
    sleep(ms: number) {
      skipped += ms;
    },
    async begin() {
      running = election.run(stop.signal);
      await settled();
    },
  };
}

async function pair() {
  const store = leaseStore();
  const [one, two] = [replica("one", store), replica("two!", store, 77_000_000)];
  await one.begin();
  await two.begin();
  const advance = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 500) {
      await one.clock.advance(500);
      await two.clock.advance(500);
      expect([one, two].filter((each) => each.leads()).length).toBeLessThanOrEqual(1);
    }
  };
  return { store, one, two, advance };
}

describe("election", () => {
  it("makes the Lease where there is none, and leads", async () => {
    const store = leaseStore();
    const one = replica("one", store);
    expect(one.leads()).toBe(false);
    expect(one.term()).toBeUndefined();
    expect(one.leader()).toBeUndefined();
    await one.begin();
    expect(one.leads()).toBe(true);
    expect(one.term()?.aborted).toBe(false);
    expect(one.leader()).toBe(one.identity);
    expect(store.spec).toEqual({
      holderIdentity: one.identity,
      leaseDurationSeconds: 15,
      acquireTime: "1970-01-01T00:16:40.000000Z",
      renewTime: "1970-01-01T00:16:40.000000Z",
      leaseTransitions: 0,
    });
    expect(one.metrics.value("gatehouse_leader")).toBe(1);
    expect(one.changes.at(-1)).toBe(true);
  });

  it("renews with one request each time, and keeps its term", async () => {
    const store = leaseStore();
    const one = replica("one", store);
    await one.begin();
    const term = one.term();
    const before = one.api.calls.length;
    await one.clock.advance(60_000);
    expect(one.api.calls.length - before).toBe(30);
    expect(one.term()).toBe(term);
    expect(store.spec).toMatchObject({ acquireTime: "1970-01-01T00:16:40.000000Z", leaseTransitions: 0 });
  });

  it("leaves a Lease alone that another renews, whatever the other's clock says", async () => {
    const { one, two, advance } = await pair();
    await advance(120_000);
    expect(one.leads()).toBe(true);
    expect(two.leads()).toBe(false);
    expect(two.leader()).toBe(one.identity);
    expect(two.term()).toBeUndefined();
    expect(two.metrics.value("gatehouse_leader")).toBe(0);
  });

  it("takes over from one that is silent, not before its own clock saw the whole duration pass", async () => {
    const store = leaseStore();
    store.put({
      holderIdentity: "gone|10.0.0.9:1",
      leaseDurationSeconds: 15,
      renewTime: "2020-01-01T00:00:00.000000Z",
      leaseTransitions: 4,
    });
    const one = replica("one", store);
    await one.begin();
    await one.clock.advance(14_999);
    expect(one.leads()).toBe(false);
    expect(one.leader()).toBe("gone|10.0.0.9:1");
    await one.clock.advance(2_001);
    expect(one.leads()).toBe(true);
    expect(store.spec).toMatchObject({ holderIdentity: one.identity, leaseTransitions: 5 });
  });

  it("waits as long as the holder was promised", async () => {
    const store = leaseStore();
    store.put({ holderIdentity: "gone|10.0.0.9:1", leaseDurationSeconds: 60 });
    const one = replica("one", store);
    await one.begin();
    await one.clock.advance(59_000);
    expect(one.leads()).toBe(false);
    await one.clock.advance(3_000);
    expect(one.leads()).toBe(true);
  });

  it("gives the Lease back at the end, and the other leads soon", async () => {
    const { store, one, two, advance } = await pair();
    const term = one.term();
    await one.end();
    expect(term?.aborted).toBe(true);
    expect(one.leads()).toBe(false);
    expect(store.spec).toMatchObject({ holderIdentity: "" });
    await advance(2_500);
    expect(two.leads()).toBe(true);
  });
});

describe("election: a leader in trouble", () => {
  it("stops leading when it cannot renew, before another may take over", async () => {
    const { one, two, advance } = await pair();
    const term = one.term();
    one.api.answer = () => {
      throw noAnswer();
    };
    await advance(9_500);
    expect(one.leads()).toBe(true);
    await advance(2_500);
    expect(one.leads()).toBe(false);
    expect(term?.aborted).toBe(true);
    expect(two.leads()).toBe(false);
    await advance(8_000);
    expect(two.leads()).toBe(true);
    expect(one.metrics.value("gatehouse_leader")).toBe(0);
    // Once for the outage, once for the loss.
    expect(one.lines.map(({ message }) => message)).toEqual([
      "the Lease cannot be read or written",
      "this replica leads no more",
    ]);
  });

  it("does not think that it leads when it was stopped for long, though no timer has fired", async () => {
    const { one } = await pair();
    const term = one.term();
    one.sleep(60_000);
    expect(one.leads()).toBe(false);
    expect(one.term()).toBeUndefined();
    expect(one.leader()).toBeUndefined();
    expect(term?.aborted).toBe(true);
  });

  it("begins a new term where nobody took over meanwhile", async () => {
    const { store, one, advance } = await pair();
    const term = one.term();
    one.sleep(11_000);
    expect(one.leads()).toBe(false);
    await advance(2_000);
    expect(one.leads()).toBe(true);
    expect(one.term()).not.toBe(term);
    expect(store.spec).toMatchObject({ leaseTransitions: 0 });
  });

  it("gives way where another holds the Lease when it comes back", async () => {
    const { store, one, advance } = await pair();
    store.put({ holderIdentity: "three|10.0.0.3:1", leaseDurationSeconds: 15 });
    await advance(2_000);
    expect(one.leads()).toBe(false);
    expect(one.leader()).toBe("three|10.0.0.3:1");
    expect(store.spec?.holderIdentity).toBe("three|10.0.0.3:1");
  });

  it("goes on where somebody else changed the Lease but not its holder", async () => {
    const { store, one, advance } = await pair();
    const term = one.term();
    store.put({ ...store.spec });
    await advance(2_500);
    expect(one.term()).toBe(term);
  });

  it("makes the Lease again where it was deleted", async () => {
    const { store, one, advance } = await pair();
    store.remove();
    await advance(2_500);
    expect(one.leads()).toBe(true);
    expect(store.spec?.holderIdentity).toBe(one.identity);
  });

  it("counts a renewal from when it was sent, and believes none that came too late", async () => {
    const store = leaseStore();
    const one = replica("one", store);
    one.api.answer = (call) => {
      if (call.method === "POST") one.sleep(10_000);
      return store.serve(call);
    };
    await one.begin();
    expect(store.spec?.holderIdentity).toBe(one.identity);
    expect(one.leads()).toBe(false);
  });

  it("does not wait for ever for a hung server: two tries more within the deadline", async () => {
    const store = leaseStore();
    const one = replica("one", store);
    await one.begin();
    one.api.answer = async () => await new Promise(() => undefined);
    const before = one.api.calls.length;
    await one.clock.advance(9_900);
    expect(one.leads()).toBe(true);
    expect(one.api.calls.length - before).toBeGreaterThanOrEqual(2);
    one.api.answer = (call) => store.serve(call);
    await one.clock.advance(3_000);
    expect(one.leads()).toBe(true);
  });

  it("finds its own renewal where the answer was lost", async () => {
    const { store, one, two, advance } = await pair();
    let lost = true;
    one.api.answer = (call) => {
      const answer = store.serve(call);
      if (call.method !== "PUT" || !lost) return answer;
      lost = false;
      throw noAnswer();
    };
    const term = one.term();
    await advance(30_000);
    expect(one.term()).toBe(term);
    expect(two.leads()).toBe(false);
  });

  it("gives back also a renewal whose answer it did not wait for", async () => {
    const store = leaseStore();
    const one = replica("one", store);
    await one.begin();
    one.api.answer = async (call) => {
      const answer = store.serve(call);
      if (call.method === "PUT" && (call.body as Lease).spec?.holderIdentity !== "") await new Promise(() => undefined);
      return answer;
    };
    await one.clock.advance(2_000);
    await one.end();
    expect(store.spec?.holderIdentity).toBe("");
  });

  it("ends also where the Lease cannot be given back", async () => {
    const store = leaseStore();
    const one = replica("one", store);
    await one.begin();
    one.api.answer = async () => await new Promise(() => undefined);
    const ended = one.end();
    await one.clock.advance(4_000);
    await ended;
    expect(one.leads()).toBe(false);
  });
});

describe("election: many at once", () => {
  it("never lets two lead, however often the holder fails", async () => {
    const store = leaseStore();
    const all = ["a", "bb", "ccc"].map((name) => replica(name, store));
    for (const each of all) await each.begin();
    let random = 7;
    const dice = (sides: number) => {
      random = (random * 1_103_515_245 + 12_345) % 2_147_483_648;
      return random % sides;
    };
    const led = new Set<string>();
    for (let step = 0; step < 1_500; step += 1) {
      for (const each of all) {
        if (dice(40) === 0)
          each.api.answer = dice(3) === 0 ? (call) => store.serve(call) : () => Promise.reject(noAnswer());
        if (dice(60) === 0) each.api.answer = (call) => store.serve(call);
        await each.clock.advance(400);
      }
      const leading = all.filter((each) => each.leads());
      expect(leading.length).toBeLessThanOrEqual(1);
      for (const each of leading) led.add(each.identity);
    }
    expect(led.size).toBe(3);
  });
});
