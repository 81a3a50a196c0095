import { describe, expect, it } from "vitest";
import { type Activity, createActivity, type StreamReport } from "../../../src/sessions/activity.ts";
import { activityLimits, unlisted } from "../../../src/sessions/activity-state.ts";
import { type BusyCause, proofMs } from "../../../src/sessions/idleness.ts";
import { aCall } from "../../support/spark-calls.ts";

const rules = { intervalMs: 30_000, detachedGraceMs: 300_000 };
const proof = proofMs(rules);
/** Long after our start: nothing is unproven any more. */
const t0 = 10_000_000;

function setUp(): Activity {
  const activity = createActivity(rules, 0);
  activity.track("d", t0);
  return activity;
}

const report = (kind: StreamReport["kind"], at: number, more: Partial<StreamReport> = {}): StreamReport => ({
  uid: "d",
  streamKey: "envoy/1",
  decisionId: "call-1",
  method: "AddArtifacts",
  kind,
  at,
  ...more,
});

const execute = (operationId: string, more = {}) => aCall("ExecutePlan", { operationId, reattachable: true, ...more });
const releaseAll = (operationId: string) => aCall("ReleaseExecute", { operationId, releasesOperation: true });
const startQuery = aCall("ExecutePlan", { streamingQuery: "start" });
const stopQuery = (id: string) => aCall("ExecutePlan", { streamingQuery: "stop", streamingQueryId: id });

const otherStart = { ...startQuery };
const oneStop = stopQuery("q1");
const oneRelease = releaseAll("op");
const sessionRelease = aCall("ReleaseSession");

type Step = (activity: Activity) => unknown;
const says = (call: ReturnType<typeof aCall>, at: number, decision = "call-1"): Step => {
  return (activity) => activity.message("d", decision, call, at);
};
const logs = (kind: StreamReport["kind"], at: number, more: Partial<StreamReport> = {}): Step => {
  return (activity) => activity.stream(report(kind, at, more));
};

interface Row {
  readonly what: string;
  readonly steps: readonly Step[];
  readonly at: number;
  readonly busy: readonly BusyCause[];
}

const rows: readonly Row[] = [
  { what: "never used", steps: [], at: t0 + 1, busy: [] },
  { what: "only called", steps: [(a) => a.called("d", t0 + 5)], at: t0 + 6, busy: [] },
  { what: "a stream reported", steps: [logs("periodic", t0)], at: t0 + proof - 1, busy: ["stream"] },
  { what: "a stream not reported for two intervals", steps: [logs("periodic", t0)], at: t0 + proof, busy: [] },
  {
    what: "a quiet stream that is reported again and again",
    steps: Array.from({ length: 100 }, (_, i) => logs("periodic", t0 + i * rules.intervalMs)),
    at: t0 + 100 * rules.intervalMs,
    busy: ["stream"],
  },
  {
    what: "a stream that ended",
    steps: [says(aCall("ExecutePlan"), t0), logs("periodic", t0), logs("end", t0 + 1)],
    at: t0 + 2,
    busy: [],
  },
  {
    what: "one of two streams ended",
    steps: [
      logs("periodic", t0, { streamKey: "other/1" }),
      logs("periodic", t0),
      logs("end", t0, { method: "Config" }),
    ],
    at: t0 + 2,
    busy: ["stream"],
  },
  {
    what: "an operation detached when its stream ended",
    steps: [says(execute("op"), t0), logs("periodic", t0 + 900_000), logs("end", t0 + 1_000_000)],
    at: t0 + 1_000_000 + rules.detachedGraceMs - 1,
    busy: ["detached"],
  },
  {
    what: "a detached operation past its grace",
    steps: [says(execute("op"), t0), logs("end", t0 + 1_000)],
    at: t0 + 1_000 + rules.detachedGraceMs,
    busy: [],
  },
  {
    what: "a released operation",
    steps: [says(execute("op"), t0), says(releaseAll("op"), t0 + 1, "call-2"), logs("end", t0 + 2)],
    at: t0 + 3,
    busy: [],
  },
  {
    what: "an operation released after its stream's end",
    steps: [says(execute("op"), t0), logs("end", t0 + 1), says(releaseAll("op"), t0 + 2, "call-2")],
    at: t0 + 3,
    busy: [],
  },
  {
    what: "another operation released",
    steps: [says(execute("op"), t0), logs("end", t0 + 1), says(releaseAll("op-2"), t0 + 2, "call-2")],
    at: t0 + 3,
    busy: ["detached"],
  },
  {
    what: "results acknowledged in part",
    steps: [says(execute("op"), t0), says(aCall("ReleaseExecute", { operationId: "op" }), t0 + 200_000, "call-2")],
    at: t0 + 200_000 + rules.detachedGraceMs - 1,
    busy: ["detached"],
  },
  {
    what: "a report that came before the message, and a lost end",
    steps: [logs("periodic", t0, { method: "ExecutePlan" }), says(execute("op"), t0 + 10_000)],
    at: t0 + proof,
    busy: ["detached"],
  },
  {
    what: "a reattached operation that nobody knew",
    steps: [says(aCall("ReattachExecute", { operationId: "op" }), t0)],
    at: t0 + 1,
    busy: ["detached"],
  },
  {
    what: "an execution that nobody knew and that ended",
    steps: [logs("end", t0, { decisionId: "unknown", method: "ExecutePlan" })],
    at: t0 + rules.detachedGraceMs - 1,
    busy: ["detached"],
  },
  {
    what: "an execution that nobody knew, whose end was lost",
    steps: [logs("periodic", t0, { decisionId: "unknown", method: "ReattachExecute" })],
    at: t0 + rules.detachedGraceMs - 1,
    busy: ["detached"],
  },
  {
    what: "an operation whose Connect session was released",
    steps: [says(execute("op"), t0), says(aCall("ReleaseSession"), t0 + 1, "call-2"), logs("end", t0 + 2)],
    at: t0 + 3,
    busy: [],
  },
  {
    what: "an operation of another Connect session than the released one",
    steps: [says(execute("op"), t0), says(aCall("ReleaseSession", { connectSession: "session-2" }), t0 + 1, "call-2")],
    at: t0 + 2,
    busy: ["detached"],
  },
  {
    what: "a streaming query, hours after its client went",
    steps: [says(startQuery, t0), logs("end", t0 + 1)],
    at: t0 + 100_000_000,
    busy: ["streaming_query"],
  },
  {
    what: "a stopped streaming query",
    steps: [says(startQuery, t0), says(stopQuery("q1"), t0 + 1)],
    at: t0 + 2,
    busy: [],
  },
  {
    what: "one of two streaming queries stopped, twice",
    steps: [says(startQuery, t0), says(startQuery, t0), says(stopQuery("q1"), t0), says(stopQuery("q1"), t0)],
    at: t0 + 2,
    busy: ["streaming_query"],
  },
  {
    what: "a stop that is repeated after another query was started",
    steps: [says(startQuery, t0), says(stopQuery("q1"), t0), says(startQuery, t0), says(stopQuery("q1"), t0)],
    at: t0 + 2,
    busy: ["streaming_query"],
  },
  {
    what: "a streaming query whose Connect session was released",
    steps: [says(startQuery, t0), says(aCall("ReleaseSession"), t0 + 1)],
    at: t0 + 2,
    busy: [],
  },
  {
    what: "a streaming query whose start was refused",
    steps: [says(startQuery, t0), (a) => a.messageRefused(startQuery)],
    at: t0 + 2,
    busy: [],
  },
  {
    what: "a start that was refused beside a query that runs, told twice",
    steps: [
      says(startQuery, t0),
      says(otherStart, t0),
      (a) => a.messageRefused(otherStart),
      (a) => a.messageRefused(otherStart),
    ],
    at: t0 + 2,
    busy: ["streaming_query"],
  },
  {
    what: "a stop that was refused",
    steps: [says(startQuery, t0), says(oneStop, t0), (a) => a.messageRefused(oneStop)],
    at: t0 + 2,
    busy: ["streaming_query"],
  },
  {
    what: "a stop that was refused, then repeated",
    steps: [says(startQuery, t0), says(oneStop, t0), (a) => a.messageRefused(oneStop), says(stopQuery("q1"), t0)],
    at: t0 + 2,
    busy: [],
  },
  {
    what: "a release of an operation that was refused",
    steps: [says(execute("op"), t0), says(oneRelease, t0, "call-2"), (a) => a.messageRefused(oneRelease)],
    at: t0 + 2,
    busy: ["detached"],
  },
  {
    what: "a release of a session that was refused",
    steps: [
      says(startQuery, t0),
      says(execute("op"), t0, "call-2"),
      says(sessionRelease, t0, "call-3"),
      (a) => a.messageRefused(sessionRelease),
    ],
    at: t0 + 2,
    busy: ["detached", "streaming_query"],
  },
  { what: "a gap in the access log", steps: [(a) => a.accessLogGap(t0)], at: t0 + proof - 1, busy: ["unproven"] },
  { what: "two intervals after a gap", steps: [(a) => a.accessLogGap(t0)], at: t0 + proof, busy: [] },
];

describe("what keeps a driver busy", () => {
  it.each(rows)("$what: $busy", ({ steps, at, busy }) => {
    const activity = setUp();
    for (const step of steps) step(activity);
    expect(activity.usage("d", at)?.busy).toEqual(busy);
  });

  it("is not known for two intervals after our start", () => {
    const activity = createActivity(rules, t0);
    activity.track("d", 0);
    expect(activity.usage("d", t0 + proof - 1)?.busy).toEqual(["unproven"]);
    expect(activity.usage("d", t0 + proof)?.busy).toEqual([]);
  });
});

describe("the last use", () => {
  it("moves with every sign of use and never back", () => {
    const activity = setUp();
    const last = () => activity.usage("d", t0 + 1_000_000)?.lastActive;
    expect(last()).toBe(t0);
    activity.called("d", t0 + 10);
    activity.keepalive("d", t0 + 20);
    expect(last()).toBe(t0 + 20);
    activity.message("d", "call-1", aCall("Config"), t0 + 30);
    activity.stream(report("periodic", t0 + 40));
    activity.stream(report("end", t0 + 50));
    activity.called("d", t0);
    expect(last()).toBe(t0 + 50);
  });

  it("is not kept of drivers that are not tracked", () => {
    const activity = setUp();
    activity.forget("d");
    activity.called("d", t0);
    activity.stream(report("periodic", t0));
    expect(activity.message("d", "call-1", startQuery, t0)).toBe("later");
    expect(activity.usage("d", t0)).toBeUndefined();
    expect(activity.toRecord("d")).toBeUndefined();
    expect(activity.liveStreams("d", t0)).toBe(0);
  });
});

describe("what must be recorded when", () => {
  it("records the start of a streaming query before it is forwarded", () => {
    expect(setUp().message("d", "call-1", startQuery, t0)).toBe("before-forwarding");
  });

  it("records new Connect sessions, stops and first operations soon, the rest later", () => {
    const activity = setUp();
    const message = (call: ReturnType<typeof aCall>) => activity.message("d", "call-1", call, t0);
    expect(message(aCall("Config"))).toBe("soon");
    expect(message(aCall("Config"))).toBe("later");
    expect(message(aCall("CloneSession", { newConnectSession: "session-2" }))).toBe("soon");
    expect(message(execute("op"))).toBe("soon");
    activity.toRecord("d");
    expect(message(execute("op-2"))).toBe("later");
    message(startQuery);
    expect(message(stopQuery("q"))).toBe("soon");
    message(startQuery);
    expect(message(aCall("ReleaseSession"))).toBe("soon");
    expect(message(aCall("ReleaseSession"))).toBe("later");
    expect(activity.toRecord("d")?.connectSessions).toEqual(["session-2", "session-1"]);
  });
});

describe("the record", () => {
  it("brings back all that keeps a driver busy", () => {
    const before = setUp();
    before.message("d", "call-1", startQuery, t0);
    before.message("d", "call-2", execute("op", { connectSession: "session-2" }), t0 + 7);
    const record = before.toRecord("d");
    expect(record).toEqual({
      v: 1,
      lastActive: t0 + 7,
      streamingQueries: { "session-1": 1 },
      detached: [{ operationId: "op", connectSession: "session-2", lastAttached: t0 + 7 }],
      connectSessions: ["session-1", "session-2"],
    });
    const restart = t0 + 1_000_000;
    const after = createActivity(rules, restart);
    after.track("d", 0);
    if (record) after.restore("d", JSON.parse(JSON.stringify(record)), { at: restart, unrecordedMs: 0 });
    expect(after.usage("d", restart + proof)).toEqual({ busy: ["detached", "streaming_query"], lastActive: t0 + 7 });
    expect(after.usage("d", restart + rules.detachedGraceMs)?.busy).toEqual(["streaming_query"]);
    after.message("d", "call-3", releaseAll("op"), restart);
    after.message("d", "call-4", aCall("ReleaseSession"), restart);
    expect(after.usage("d", restart + proof)?.busy).toEqual([]);
  });

  it.each([
    { what: "written with the use", recordedAt: undefined, restart: t0 + 1_000, lastActive: t0 + 100 },
    { what: "written later", recordedAt: t0 + 50, restart: t0 + 1_000, lastActive: t0 + 150 },
    { what: "and we were away for a moment only", recordedAt: t0 + 50, restart: t0 + 70, lastActive: t0 + 70 },
  ])("counts a driver as used for as long as a use may be missing from it: $what", (row) => {
    const { recordedAt, restart, lastActive } = row;
    const record = { v: 1, lastActive: t0, streamingQueries: {}, detached: [], connectSessions: [] } as const;
    const after = createActivity(rules, restart);
    after.track("d", 0);
    const written = recordedAt === undefined ? record : { ...record, recordedAt };
    after.restore("d", written, { at: restart, unrecordedMs: 100 });
    expect(after.usage("d", restart)?.lastActive).toBe(lastActive);
  });
});

describe("at the limits", () => {
  it("keeps a driver busy for streams, operations and queries that find no place", () => {
    const activity = setUp();
    for (let i = 0; i < activityLimits.streams; i += 1) activity.stream(report("periodic", t0, { streamKey: `${i}` }));
    activity.stream(report("periodic", t0 + 10_000, { streamKey: "one more" }));
    for (let i = 0; i < activityLimits.streams; i += 1) {
      activity.stream(report("end", t0, { streamKey: `${i}` }));
    }
    expect(activity.usage("d", t0 + proof)?.busy).toEqual(["stream"]);

    for (let i = 0; i <= activityLimits.operations; i += 1) activity.message("d", `op-${i}`, execute(`${i}`), t0);
    for (let i = 0; i <= activityLimits.operations; i += 1) activity.message("d", `r-${i}`, releaseAll(`${i}`), t0);
    expect(activity.usage("d", t0 + rules.detachedGraceMs - 1)?.busy).toEqual(["detached"]);
    expect(activity.usage("d", t0 + rules.detachedGraceMs)?.busy).toEqual([]);

    for (let i = 0; i <= activityLimits.streamingSessions; i += 1) {
      activity.message("d", `q-${i}`, { ...startQuery, connectSession: `s-${i}` }, t0);
    }
    for (let i = 0; i <= activityLimits.streamingSessions; i += 1) {
      activity.message("d", `s-${i}`, aCall("ReleaseSession", { connectSession: `s-${i}` }), t0);
    }
    expect(activity.usage("d", t0 + 1_000_000)?.busy).toEqual(["streaming_query"]);
    expect(activity.toRecord("d")?.streamingQueries).toEqual({ [unlisted]: 1 });
  });

  it("forgets the oldest Connect sessions and counts stops that it cannot remember for nothing", () => {
    const activity = setUp();
    for (let i = 0; i <= activityLimits.stoppedQueries; i += 1) {
      activity.message("d", "c", startQuery, t0);
      activity.message("d", "c", stopQuery(`q-${i}`), t0);
    }
    expect(activity.usage("d", t0)?.busy).toEqual(["streaming_query"]);
    for (let i = 0; i < 100; i += 1) activity.message("d", "c", aCall("Config", { connectSession: `s-${i}` }), t0);
    expect(activity.toRecord("d")?.connectSessions).toHaveLength(activityLimits.connectSessions);
    expect(activity.toRecord("d")?.connectSessions.at(-1)).toBe("s-99");
  });

  it("makes room for new streams by those whose end was never reported", () => {
    const activity = setUp();
    for (let i = 0; i < activityLimits.streams; i += 1) activity.stream(report("periodic", t0, { streamKey: `${i}` }));
    expect(activity.liveStreams("d", t0)).toBe(activityLimits.streams);
    activity.stream(report("periodic", t0 + proof, { streamKey: "new" }));
    expect(activity.liveStreams("d", t0 + proof)).toBe(1);
    activity.stream(report("end", t0 + proof, { streamKey: "new" }));
    expect(activity.usage("d", t0 + proof)?.busy).toEqual([]);
  });
});
