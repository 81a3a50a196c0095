import { describe, expect, it } from "vitest";
import { createActivity } from "../../../src/sessions/activity.ts";
import type { ActivityRecord } from "../../../src/sessions/activity-record.ts";
import { activityLimits } from "../../../src/sessions/activity-state.ts";
import { aCall } from "../../support/spark-calls.ts";

const t0 = 10_000_000;
const startQuery = (session: string) => aCall("ExecutePlan", { connectSession: session, streamingQuery: "start" });
const execute = (operationId: string) => aCall("ExecutePlan", { operationId, reattachable: true });

const record = (change: Partial<ActivityRecord> = {}): ActivityRecord => ({
  v: 1,
  lastActive: t0,
  recordedAt: t0,
  streamingQueries: {},
  detached: [],
  connectSessions: [],
  ...change,
});

const operation = (operationId: string, lastAttached = t0) => ({
  operationId,
  connectSession: "session-1",
  lastAttached,
});

function setUp(restored?: ActivityRecord) {
  const activity = createActivity({ intervalMs: 30_000, detachedGraceMs: 300_000 }, 0);
  activity.track("d", t0 - 1_000_000);
  if (restored !== undefined) activity.restore("d", restored, { at: t0, unrecordedMs: 0 });
  return activity;
}

const operationsOf = (activity: ReturnType<typeof setUp>) =>
  activity.toRecord("d")?.detached.map((one) => one.operationId);

describe("what other replicas record later", () => {
  it("counts once, however often the same record comes", () => {
    const activity = setUp();
    const theirs = record({ lastActive: t0 + 5, streamingQueries: { s: 1 }, detached: [operation("op")] });
    for (let i = 0; i < 3; i += 1) activity.refresh("d", theirs);
    expect(activity.toRecord("d")).toMatchObject({ lastActive: t0 + 5, streamingQueries: { s: 1 } });
    expect(operationsOf(activity)).toEqual(["op"]);
  });

  it("keeps what is not written yet, and does not count our own write when it comes back", () => {
    const activity = setUp(record({ streamingQueries: { s: 1 } }));
    activity.message("d", "1", startQuery("s"), t0 + 1);
    const ours = activity.toRecord("d");
    if (ours === undefined) throw new Error("not tracked");
    // Another replica started one too; the runtime merged both.
    activity.written("d", ours);
    activity.message("d", "2", startQuery("s"), t0 + 2);
    activity.refresh("d", record({ recordedAt: t0 + 2, streamingQueries: { s: 3 } }));
    expect(activity.toRecord("d")?.streamingQueries).toEqual({ s: 4 });
    expect(activity.base("d")?.streamingQueries).toEqual({ s: 3 });
  });

  it("lets a query that another replica saw start be stopped, and its session be released, here", () => {
    const activity = setUp(record());
    activity.refresh("d", record({ streamingQueries: { s: 1, other: 2 } }));
    activity.message("d", "1", aCall("ReleaseSession", { connectSession: "other" }), t0 + 1);
    const stop = aCall("ExecutePlan", { connectSession: "s", streamingQuery: "stop", streamingQueryId: "q" });
    expect(activity.message("d", "2", stop, t0 + 2)).toBe("soon");
    expect(activity.toRecord("d")?.streamingQueries).toEqual({});
    expect(activity.base("d")?.streamingQueries).toEqual({ s: 1, other: 2 });
  });

  it("takes away what was stopped and released elsewhere, never below nothing", () => {
    const activity = setUp(record({ streamingQueries: { s: 1, t: 2 }, detached: [operation("op")] }));
    activity.refresh("d", record({ recordedAt: t0 + 10, streamingQueries: { t: 1 } }));
    expect(activity.toRecord("d")?.streamingQueries).toEqual({ t: 1 });
    expect(operationsOf(activity)).toEqual([]);
    activity.message("d", "1", aCall("ReleaseSession", { connectSession: "t" }), t0 + 11);
    activity.refresh("d", record({ recordedAt: t0 + 12 }));
    expect(activity.toRecord("d")?.streamingQueries).toEqual({});
  });

  it("keeps an operation that a client attached to here after that record, and brings back one whose stream lives", () => {
    const activity = setUp(record({ detached: [operation("op"), operation("alive")] }));
    activity.message("d", "1", execute("alive"), t0 + 1);
    activity.message("d", "2", execute("op"), t0 + 20);
    activity.refresh("d", record({ recordedAt: t0 + 10 }));
    expect(operationsOf(activity)).toEqual(["op"]);
    const alive = { uid: "d", streamKey: "e/1", decisionId: "1", method: "ExecutePlan" } as const;
    activity.stream({ ...alive, kind: "periodic", at: t0 + 30 });
    expect(operationsOf(activity)?.sort()).toEqual(["alive", "op"]);
  });

  it("does not bring back what was released here and is not written yet", () => {
    const base = record({ detached: [operation("op")] });
    const activity = setUp(base);
    activity.message("d", "1", aCall("ReleaseExecute", { operationId: "op", releasesOperation: true }), t0 + 1);
    activity.refresh("d", { ...base, recordedAt: t0 + 2, detached: [operation("op", t0 + 2)] });
    expect(operationsOf(activity)).toEqual([]);
  });

  it("adds Connect sessions, the newest within the limit", () => {
    const activity = setUp(record({ connectSessions: ["a"] }));
    activity.message("d", "1", aCall("Config", { connectSession: "mine" }), t0 + 1);
    const many = Array.from({ length: activityLimits.connectSessions }, (_, i) => `s-${i}`);
    activity.refresh("d", record({ connectSessions: ["a", "b"] }));
    expect(activity.toRecord("d")?.connectSessions).toEqual(["a", "mine", "b"]);
    activity.refresh("d", record({ connectSessions: many }));
    expect(activity.toRecord("d")?.connectSessions).toEqual(many);
  });
});
