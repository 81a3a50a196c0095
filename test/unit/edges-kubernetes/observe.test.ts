import { describe, expect, it } from "vitest";
import { activityText, drainingText } from "../../../src/edges/kubernetes/facts.ts";
import { annotation } from "../../../src/edges/kubernetes/labels.ts";
import type { Pod, Stored } from "../../../src/edges/kubernetes/objects.ts";
import { endOf, observe } from "../../../src/edges/kubernetes/observe.ts";
import type { DriverObjects, ObserveContext } from "../../../src/edges/kubernetes/observe-types.ts";
import {
  after,
  container,
  context,
  facts,
  key,
  made,
  name,
  objectsOf,
  podWith,
  running,
  token,
} from "./observe-objects.ts";

const activity = {
  v: 1,
  lastActive: made,
  streamingQueries: {},
  detached: [],
  connectSessions: ["s1", "s2"],
} as const;

function driver(pod: Stored<Pod>, more: Partial<DriverObjects> = {}, around: Partial<ObserveContext> = {}) {
  const observed = observe(objectsOf(pod, more), { ...context, ...around });
  if (observed.what !== "driver") throw new Error(`it is ${JSON.stringify(observed)}`);
  return observed;
}

function end(pod: Stored<Pod>, more: Partial<DriverObjects> = {}) {
  const observed = observe(objectsOf(pod, more), context);
  if (observed.what !== "ended") throw new Error(`it is ${JSON.stringify(observed)}`);
  return observed.end;
}

const { podIP: _, ...withoutAddress } = running() ?? {};

describe("a driver that starts", () => {
  it("is starting, with all that its facts say", () => {
    const { driver: seen, readyPod } = driver(podWith({ phase: "Pending" }));
    expect(seen).toMatchObject({
      uid: "uid-1",
      name,
      key,
      owner: "u1@corp",
      ownerUser: "ann",
      sharedWithGroups: ["team"],
      profile: "interactive",
      phase: "starting",
      createdAt: made,
    });
    expect(seen).toMatchObject({ address: undefined, failure: undefined, draining: undefined, recorded: undefined });
    expect(Object.keys(seen)).not.toContain("tokenSecret");
    expect(readyPod).toBeUndefined();
  });

  it.each([
    ["no status", undefined, true],
    ["no answer", running(), false],
    ["not Ready", running("False", 1), true],
    ["no address", withoutAddress, true],
  ])("stays starting with %s, and is called only where nothing else is missing", (_, status, answers) => {
    const seen = driver(podWith(status), { answers });
    expect(seen.driver).toMatchObject({ phase: "starting", address: undefined });
    expect(seen.callable).toBe(!answers);
  });

  it("is ready once its pod is Ready, answers, and its token is known", () => {
    const without = driver(podWith(running()), { answers: true, token: undefined });
    expect([without.driver.phase, without.callable]).toEqual(["starting", false]);
    const { driver: seen, readyPod } = driver(podWith(running()), { answers: true });
    expect(seen).toMatchObject({ phase: "ready", address: { host: "10.1.2.3", port: 15_002 } });
    expect(seen.token?.reveal()).toBe(token);
    expect(readyPod).toBe("uid-1");
  });

  it("needs no token where its facts name none", () => {
    const { tokenSecret: _, ...tokenless } = facts;
    const pod = podWith(running(), { annotations: { [annotation.facts]: JSON.stringify(tokenless) } });
    expect(driver(pod, { answers: true, token: undefined }).driver.phase).toBe("ready");
  });

  it("fails with the cause in words, and stays failed", () => {
    const status = { phase: "Failed", containerStatuses: [container({ terminated: { exitCode: 1 } })] } as const;
    const log = ['Exception in thread "main" java.lang.IllegalStateException: no', `x ${token}`];
    const { driver: seen } = driver(podWith(status), { logTail: log });
    expect(seen).toMatchObject({ phase: "failed", address: undefined, failure: { exitCode: 1 } });
    expect(seen.failure?.summary).toBe("the driver ended with exit code 1: IllegalStateException: no");
    expect(seen.failure?.logTail).toEqual([log[0], "x [redacted]"]);
    const again = driver(podWith(running()), { answers: true, failed: seen.failure }, { now: context.now + 1 });
    expect(again.driver).toMatchObject({ phase: "failed", failure: seen.failure });
  });
});

describe("a driver that was ready", () => {
  it("stays ready and reachable while it misses its probes", () => {
    const pod = podWith(running("False"));
    expect(driver(pod, { firstPodUid: "uid-1" }).driver).toMatchObject({
      phase: "ready",
      address: { host: "10.1.2.3", port: 15_002 },
    });
  });

  it("is known as such from its annotation, or from the pod's own history, after a restart of ours", () => {
    const late = { now: made + 3_600_000 };
    const noted = podWith(running("False", 1), { annotations: { [annotation.pod]: "uid-1" } });
    expect(driver(noted, {}, late).driver.phase).toBe("ready");
    expect(driver(podWith(running("False", 900)), {}, late).driver.phase).toBe("ready");
    // Ready since before its container began: never was.
    expect(driver(podWith(running("False", 1)), {}, late).driver.phase).toBe("failed");
  });

  it("never fails for lack of time once calls were let through to it", () => {
    const pod = podWith(running(), { annotations: { [annotation.activity]: activityText(activity) } });
    const late = { now: made + 3_600_000 };
    expect(driver(pod, {}, late).driver.phase).toBe("starting");
    expect(driver(podWith(running()), {}, late).driver.phase).toBe("failed");
  });

  it("is draining as its annotation says, with what was recorded", () => {
    const draining = { reason: "idle", since: made + 1 } as const;
    const annotations = {
      [annotation.draining]: drainingText(draining),
      [annotation.activity]: activityText(activity),
    };
    const seen = driver(podWith(running(), { annotations }), { firstPodUid: "uid-1" }).driver;
    expect(seen).toMatchObject({ phase: "draining", draining, recorded: activity });
    expect(seen.address).toBeDefined();
  });

  it("ignores annotations that make no sense, and says so", () => {
    const annotations = { [annotation.draining]: "{", [annotation.activity]: '{"v":2}' };
    const { driver: seen, notes } = driver(podWith(running(), { annotations }), { firstPodUid: "uid-1" });
    expect(seen).toMatchObject({ phase: "ready", draining: undefined, recorded: undefined });
    expect(notes).toHaveLength(2);
  });

  it.each([
    ["exit code 137, signal 9", { ...running(), containerStatuses: [container({ terminated: { exitCode: 137 } })] }],
    [
      "OOMKilled",
      { ...running(), containerStatuses: [container({ terminated: { exitCode: 137, reason: "OOMKilled" } })] },
    ],
    ["evicted: low on memory", { phase: "Failed", reason: "Evicted", message: "low on memory" }],
    ["restarted", { ...running(), containerStatuses: [container({ running: {} }, 1)] }],
    [
      "exit code 3, and",
      { ...running(), containerStatuses: [container({ running: {} }, 1, { terminated: { exitCode: 3 } })] },
    ],
    ["Failed, NodeLost", { phase: "Failed", reason: "NodeLost" }],
  ] as [string, Pod["status"]][])("died: %s", (summary, status) => {
    const pod = podWith(status, { annotations: { [annotation.activity]: activityText(activity) } });
    expect(end(pod, { firstPodUid: "uid-1" })).toMatchObject({
      uid: "uid-1",
      key,
      cause: "died",
      summary: expect.stringContaining(summary),
      at: context.now,
      connectSessions: ["s1", "s2"],
    });
  });

  it("vanishes when somebody deletes it, and is stopped when we do", () => {
    const metadata = { deletionTimestamp: after(19) };
    const gone = podWith(running(), { metadata });
    expect(end(gone, { firstPodUid: "uid-1" })).toMatchObject({ cause: "vanished" });
    expect(end(gone, { stopOrdered: "deleted" })).toMatchObject({ cause: "stopped", summary: "stopped: deleted" });
    const annotations = { [annotation.draining]: drainingText({ reason: "idle", since: 1 }) };
    const drained = podWith(running(), { annotations });
    const deleted = { ...drained, metadata: { ...drained.metadata, ...metadata } };
    expect(end(deleted)).toMatchObject({ cause: "stopped", summary: "stopped: idle" });
  });

  it("is stopped when we stop it before it was ready, however its container ends then", () => {
    const status = { phase: "Failed", containerStatuses: [container({ terminated: { exitCode: 143 } })] } as const;
    const gone = podWith(status, { metadata: { deletionTimestamp: after(19) } });
    expect(end(gone, { stopOrdered: "deleted" })).toMatchObject({ cause: "stopped" });
  });

  it("died of its failure when what a failed start left is deleted", () => {
    const pod = podWith({ phase: "Pending" }, { metadata: { deletionTimestamp: after(19) } });
    const failed = { summary: "no image", logTail: [], exitCode: undefined, at: made };
    expect(end(podWith(pod.status, { metadata: pod.metadata }), { failed })).toMatchObject({
      cause: "died",
      summary: "no image",
    });
  });
});

describe("a driver that an operator makes", () => {
  const main: DriverObjects["main"] = {
    ...podWith(undefined),
    kind: "SparkConnect",
    status: { state: "Provisioning" },
  };
  const pod = (uid: string, status: Pod["status"]) => podWith(status, { metadata: { name: `${name}-server`, uid } });
  const of = (its: Stored<Pod> | undefined, more: Partial<DriverObjects> = {}) =>
    observe({ ...objectsOf(podWith(undefined)), kind: "spark-connect", main, pod: its, ...more }, context);

  it("has the main object's uid and the pod's address", () => {
    expect(of(undefined)).toMatchObject({ driver: { uid: "uid-1", phase: "starting" } });
    expect(of(pod("p1", running()), { answers: true })).toMatchObject({
      driver: { uid: "uid-1", phase: "ready", address: { host: "10.1.2.3" } },
      readyPod: "p1",
    });
  });

  it("died when its pod is gone, going, or another one, although the operator makes a new one", () => {
    const cause = { what: "ended", end: { uid: "uid-1", cause: "died" } };
    expect(of(undefined, { firstPodUid: "p1" })).toMatchObject(cause);
    expect(of(pod("p2", running()), { firstPodUid: "p1", answers: true })).toMatchObject(cause);
    const going = pod("p1", running());
    const metadata = { ...going.metadata, deletionTimestamp: after(19) };
    expect(of({ ...going, metadata }, { firstPodUid: "p1" })).toMatchObject(cause);
    // Before it was ready there is nothing to lose.
    expect(of({ ...going, metadata }, { answers: true })).toMatchObject({ driver: { phase: "starting" } });
  });
});

describe("an object that is not ours", () => {
  it.each([
    ["no seal", objectsOf(podWith(running()), { sealed: false })],
    ["no annotation", objectsOf(podWith(running(), { metadata: { annotations: {} } }))],
    ["another namespace", objectsOf(podWith(running(), { metadata: { namespace: "other" } }))],
  ])("is foreign: %s", (why, objects) => {
    expect(observe(objects, context)).toMatchObject({ what: "foreign", why: expect.stringContaining(why) });
  });
});

describe("the end of a driver that left the watch", () => {
  it("keeps its Connect sessions", () => {
    const pod = podWith(running(), { annotations: { [annotation.activity]: activityText(activity) } });
    expect(endOf(driver(pod).driver, "vanished", "gone", 9)).toEqual({
      uid: "uid-1",
      key,
      cause: "vanished",
      summary: "gone",
      at: 9,
      connectSessions: ["s1", "s2"],
    });
  });
});
