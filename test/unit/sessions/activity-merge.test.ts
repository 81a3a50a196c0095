import { describe, expect, it } from "vitest";
import type { Draining } from "../../../src/drivers/driver.ts";
import { lifetimeStep } from "../../../src/drivers/lifetime.ts";
import { mergeActivity, withRecorded } from "../../../src/sessions/activity-merge.ts";
import type { ActivityRecord, DetachedOperation } from "../../../src/sessions/activity-record.ts";
import { activityLimits, unlisted } from "../../../src/sessions/activity-state.ts";
import { proofMs, type Usage } from "../../../src/sessions/idleness.ts";
import { pick, seeded } from "../../support/seeded.ts";

const op = (operationId: string, lastAttached = 1): DetachedOperation => ({
  operationId,
  connectSession: "s",
  lastAttached,
});
const record = (more: Partial<ActivityRecord> = {}): ActivityRecord => ({
  v: 1,
  lastActive: 100,
  streamingQueries: {},
  detached: [],
  connectSessions: [],
  ...more,
});
const queries = (there: object, before: object, mine: object) => {
  const of = (streamingQueries: object) => record({ streamingQueries: streamingQueries as Record<string, number> });
  return mergeActivity(of(there), of(before), of(mine)).streamingQueries;
};
const detached = (there: DetachedOperation[], before: DetachedOperation[], mine: DetachedOperation[]) =>
  mergeActivity(record({ detached: there }), record({ detached: before }), record({ detached: mine })).detached;
const ids = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

describe("a record that several replicas keep", () => {
  it("is mine where there is none", () => {
    const mine = record({ recordedAt: 5, streamingQueries: { s: 1 }, detached: [op("o")], connectSessions: ["s"] });
    expect(mergeActivity(undefined, undefined, mine)).toEqual(mine);
    expect(mergeActivity(undefined, mine, mine)).toEqual(mine);
    expect(mergeActivity(record(), undefined, record())).not.toHaveProperty("recordedAt");
  });

  it("takes the latest of all times", () => {
    expect(mergeActivity(record({ lastActive: 9, recordedAt: 8 }), undefined, record({ lastActive: 7 }))).toMatchObject(
      {
        lastActive: 9,
        recordedAt: 8,
      },
    );
    expect(
      mergeActivity(record({ lastActive: 9, recordedAt: 8 }), undefined, record({ recordedAt: 10 })),
    ).toMatchObject({
      lastActive: 100,
      recordedAt: 10,
    });
  });

  it.each([
    ["others' stay", { a: 2 }, {}, {}, { a: 2 }],
    ["mine are there", { a: 2 }, {}, { b: 1 }, { a: 2, b: 1 }],
    ["what I stopped goes", { a: 1, b: 3 }, { a: 1 }, {}, { b: 3 }],
    ["counts of one session add up", { a: 2 }, {}, { a: 1 }, { a: 3 }],
    ["I change my share only", { a: 5 }, { a: 2 }, { a: 1 }, { a: 4 }],
    ["what others stopped stays stopped", {}, { a: 2 }, { a: 2 }, {}],
    ["what others stopped does not stop what I started since", { a: 1 }, { a: 2 }, { a: 3 }, { a: 2 }],
    ["never below nothing", { a: 1 }, { a: 3 }, {}, {}],
    ["a name is a name", {}, {}, { constructor: 1, toString: 2 }, { constructor: 1, toString: 2 }],
  ])("streaming queries: %s", (_, there, before, mine, merged) => {
    expect(queries(there, before, mine)).toEqual(merged);
  });

  it("keeps others' operations, sets mine, and drops what I released", () => {
    expect(detached([op("theirs"), op("released")], [op("released")], [op("mine")])).toEqual([
      op("mine"),
      op("theirs"),
    ]);
    expect(detached([op("o", 9)], [], [op("o", 5)])).toEqual([op("o", 9)]);
    expect(detached([op("o", 5)], [op("o", 5)], [op("o", 9)])).toEqual([op("o", 9)]);
    // Released elsewhere, and nobody was attached to it here since.
    expect(detached([], [op("o", 5)], [op("o", 5)])).toEqual([]);
    expect(detached([], [op("o", 5)], [op("o", 6)])).toEqual([op("o", 6)]);
    // Somebody was attached to it through another replica since.
    expect(detached([op("o", 9)], [op("o", 5)], [])).toEqual([op("o", 9)]);
  });

  it("keeps the newest Connect sessions of all replicas", () => {
    const merged = (there: string[], before: string[], mine: string[]) =>
      mergeActivity(
        record({ connectSessions: there }),
        record({ connectSessions: before }),
        record({ connectSessions: mine }),
      ).connectSessions;
    expect(merged(["a", "b", "c"], [], ["b", "d"])).toEqual(["a", "c", "b", "d"]);
    expect(merged(["old", "a"], ["old"], ["b"])).toEqual(["a", "b"]);
    const full = merged(ids("their", 64), [], ids("my", 64));
    expect(full).toEqual([...ids("their", 64).slice(-32), ...ids("my", 64).slice(-32)]);
    expect(merged(ids("their", 64), [], ids("my", 10))).toEqual([...ids("their", 64).slice(-54), ...ids("my", 10)]);
    expect(merged(["a"], [], ids("my", 64))).toEqual(["a", ...ids("my", 64).slice(-63)]);
    expect(merged([], [], ids("my", 64))).toEqual(ids("my", 64));
  });

  it("loses nothing that keeps a driver busy to a limit", () => {
    const counts = (prefix: string, count: number) => Object.fromEntries(ids(prefix, count).map((id) => [id, 2]));
    const merged = queries(counts("their", 64), {}, counts("my", 64));
    expect(merged).toEqual({ ...counts("my", 64), [unlisted]: 2 });
    // Who still knows them one by one writes again: the rest does not grow by that.
    expect(queries(merged, counts("their", 64), counts("their", 64))).toEqual(merged);
    const operations = (prefix: string, at: number) => ids(prefix, 64).map((id) => op(id, at));
    const all = detached(operations("their", 9), [], operations("my", 5));
    expect(all).toHaveLength(activityLimits.operations + 1);
    expect(all.at(-1)).toMatchObject({ operationId: unlisted, lastAttached: 9 });
    expect(all.slice(0, -1).map(({ operationId }) => operationId)).toEqual(ids("my", 64));
  });
});

const names = ids("n", 6);
function someRecord(random: () => number): ActivityRecord {
  const some = <T>(make: (name: string) => T): T[] => names.filter(() => random() < 0.4).map(make);
  const time = () => Math.floor(random() * 50);
  return record({
    lastActive: time(),
    ...(random() < 0.7 ? { recordedAt: time() } : {}),
    streamingQueries: Object.fromEntries(some((name) => [name, 1 + Math.floor(random() * 3)])),
    detached: some((name) => op(name, time())),
    connectSessions: some((name) => name),
  });
}

describe("whatever the records are", () => {
  it("my news is there, others' is there, what either took away is not, and to write again changes nothing", () => {
    const random = seeded(7);
    for (let round = 0; round < 2_000; round += 1) {
      const there = random() < 0.1 ? undefined : someRecord(random);
      const before = random() < 0.2 ? undefined : someRecord(random);
      const mine = someRecord(random);
      const merged = mergeActivity(there, before, mine);
      const inMerged = new Map(merged.detached.map((one) => [one.operationId, one.lastAttached]));
      expect(merged.lastActive).toBe(Math.max(there?.lastActive ?? 0, mine.lastActive));
      expect(merged.connectSessions).toEqual(expect.arrayContaining([...mine.connectSessions]));
      for (const name of names) {
        const count = ({ streamingQueries }: ActivityRecord) => streamingQueries[name] ?? 0;
        const change = count(mine) - (before === undefined ? 0 : count(before));
        const expected = there === undefined ? count(mine) : Math.max(0, count(there) + change);
        expect(count(merged)).toBe(expected);
        const attached = (of: ActivityRecord | undefined) =>
          of?.detached.find((one) => one.operationId === name)?.lastAttached;
        const [was, is, others] = [attached(before) ?? -1, attached(mine), attached(there)];
        if (is !== undefined && (is > was || there === undefined))
          expect(inMerged.get(name)).toBeGreaterThanOrEqual(is);
        if (others !== undefined && others > was) expect(inMerged.get(name)).toBeGreaterThanOrEqual(others);
        if (is === undefined && (others ?? -1) <= was) expect(inMerged.has(name)).toBe(false);
        if (there !== undefined && others === undefined && (is ?? -1) <= was) expect(inMerged.has(name)).toBe(false);
      }
      expect(mergeActivity(merged, mine, mine)).toEqual(merged);
    }
  });

  it("holds the sum of all replicas' queries once each has written, in whatever order they write", () => {
    const random = seeded(11);
    for (let round = 0; round < 200; round += 1) {
      const replicas = ids("r", 3).map(() => ({ mine: record(), before: record() }));
      let there: ActivityRecord | undefined;
      const write = (replica: (typeof replicas)[number]) => {
        there = mergeActivity(there, replica.before, replica.mine);
        replica.before = replica.mine;
      };
      for (let step = 0; step < 30; step += 1) {
        const replica = pick(random, replicas);
        const name = pick(random, names);
        const { [name]: count = 0, ...others } = replica.mine.streamingQueries;
        const next = Math.max(0, count + (random() < 0.6 ? 1 : -1));
        replica.mine = record({ streamingQueries: next === 0 ? others : { ...others, [name]: next } });
        if (random() < 0.5) write(pick(random, replicas));
      }
      replicas.forEach(write);
      const sums: Record<string, number> = {};
      for (const { mine } of replicas) {
        for (const [name, count] of Object.entries(mine.streamingQueries)) sums[name] = (sums[name] ?? 0) + count;
      }
      expect(there?.streamingQueries).toEqual(sums);
    }
  });
});

const rules = { intervalMs: 30_000, detachedGraceMs: 300_000 };
const idleTimeoutMs = 1_200_000;
const unrecordedMs = idleTimeoutMs / 4;
const unused: Usage = { busy: [], lastActive: 50 };

describe("the use of a driver as all replicas know it", () => {
  const now = 10_000_000;
  const widened = (recorded: ActivityRecord | undefined, usage = unused) =>
    withRecorded(usage, recorded, now, rules, unrecordedMs);

  it("is one's own where nothing was recorded, or only what one knows", () => {
    expect(widened(undefined)).toBe(unused);
    expect(widened(record({ lastActive: 20 }))).toEqual(unused);
  });

  it("has the later last use, but none in the future", () => {
    expect(widened(record({ lastActive: 70 }))).toEqual({ busy: [], lastActive: 70 });
    expect(widened(record({ lastActive: now + 1e9 })).lastActive).toBe(now);
  });

  it("is proved only once others must have written what they saw", () => {
    const busy = (recordedAt: number) => widened(record({ lastActive: 0, recordedAt })).busy;
    expect(busy(now)).toEqual(["unproven"]);
    expect(busy(now - unrecordedMs)).toEqual(["unproven"]);
    expect(busy(now - unrecordedMs - 10_000)).toEqual([]);
    // A record without a time is as old as the use that it tells of.
    expect(widened(record({ lastActive: now - 1_000 })).busy).toEqual(["unproven"]);
  });

  it("has others' queries, and their operations within the grace", () => {
    const detachedAt = (at: number) => widened(record({ detached: [op("o", at), op("old", 1)] })).busy;
    expect(detachedAt(now - 299_999)).toEqual(["detached"]);
    expect(detachedAt(now - 300_000)).toEqual([]);
    expect(widened(record({ streamingQueries: { a: 1 } })).busy).toEqual(["streaming_query"]);
    expect(widened(record({ streamingQueries: { a: 0 } })).busy).toEqual([]);
    const own: Usage = { busy: ["stream", "streaming_query"], lastActive: 5 };
    expect(widened(record({ streamingQueries: { a: 1 } }), own).busy).toEqual(["stream", "streaming_query"]);
  });

  // Another replica sees all calls; this one leads and sees none. Seconds, for two simulated hours each.
  it("never lets the leader end what another replica saw in use, and ends what nobody uses", () => {
    const random = seeded(3);
    let stops = 0;
    for (let round = 0; round < 60; round += 1) {
      const lifetimes = { idleTimeoutMs, maxTtlMs: 1e12, drainLimitMs: 1 };
      const pauseMs = pick(random, [60_000, 600_000, 1_300_000, 2_000_000]);
      const other = {
        lastUse: 0,
        lastWrite: 0,
        dirty: false,
        landing: undefined as { at: number; is: ActivityRecord } | undefined,
      };
      let there: ActivityRecord | undefined;
      let draining: Draining | undefined;
      let stopped = false;
      for (let now = 0; now < 7_200_000 && !stopped; now += 1_000) {
        if (random() < 1_000 / pauseMs) Object.assign(other, { lastUse: now, dirty: true });
        if (other.landing === undefined && other.dirty && now >= other.lastWrite + unrecordedMs) {
          const is = record({ lastActive: other.lastUse, recordedAt: now });
          Object.assign(other, { dirty: false, lastWrite: now, landing: { at: now + random() * 5_000, is } });
        }
        if (other.landing !== undefined && now >= other.landing.at) {
          there = mergeActivity(there, undefined, other.landing.is);
          other.landing = undefined;
        }
        const usage = withRecorded({ busy: [], lastActive: 0 }, there, now, rules, unrecordedMs);
        const due = lifetimeStep({ createdAt: 0, draining, usage, now }, lifetimes, proofMs(rules));
        if (due?.step === "stop") {
          stopped = true;
          stops += 1;
          // A use whose record is still on its way cannot be known: that is for the order to stop to find out.
          const unseen = other.landing !== undefined && now - other.lastUse <= 5_000;
          if (!unseen) expect(now - other.lastUse).toBeGreaterThanOrEqual(idleTimeoutMs);
        } else if (due !== undefined) {
          draining = due.step === "drain" ? { reason: due.reason, since: now } : undefined;
          // The mark of a drain is a record too.
          there = mergeActivity(there, undefined, record({ lastActive: 0, recordedAt: now }));
        }
        if (now - other.lastUse > 2 * idleTimeoutMs) expect(stopped).toBe(true);
      }
    }
    expect(stops).toBeGreaterThan(20);
  });
});
