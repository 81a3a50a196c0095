import { describe, expect, it } from "vitest";
import { isDiscovered, observeDiscovered, tokenSecretOf } from "../../../src/edges/kubernetes/discovered.ts";
import { annotation, label } from "../../../src/edges/kubernetes/labels.ts";
import type { Pod } from "../../../src/edges/kubernetes/objects.ts";
import { after, container, context, made, podWith, running } from "./observe-objects.ts";

const owned = { [annotation.owner]: "u1@corp", [annotation.tokenSecret]: "spark-token" };
const discovered = (status: Pod["status"], annotations: Record<string, string> = owned, metadata: object = {}) =>
  podWith(status, { metadata: { name: "etl", annotations, ...metadata } });
const seen = (pod: ReturnType<typeof podWith>, more: object = {}, now = context.now) =>
  observeDiscovered(
    { pod, firstPodUid: undefined, token: "t", events: [], answers: true, logTail: [], ...more },
    { ...context, now },
  );

describe("a driver that others started", () => {
  it("is what its pod's annotations say", () => {
    expect(seen(discovered(running()))).toEqual({
      what: "driver",
      callable: true,
      readyPod: "uid-1",
      notes: [],
      driver: expect.objectContaining({
        uid: "uid-1",
        name: "etl",
        key: { cluster: "main", namespace: "sjns-data-dev", app: "etl" },
        owner: "u1@corp",
        ownerUser: "u1",
        sharedWithGroups: [],
        profile: "default",
        phase: "ready",
        address: { host: "10.1.2.3", port: 15_002 },
        createdAt: made,
      }),
    });
    const named = {
      ...owned,
      [annotation.app]: "nightly.etl",
      [annotation.profile]: "interactive",
      [annotation.owner]: "a@b@corp",
    };
    expect(seen(discovered(running(), named))).toMatchObject({
      driver: { key: { app: "nightly.etl" }, profile: "interactive", owner: "a@b@corp", ownerUser: "a@b" },
    });
  });

  it("needs no Secret where its profile allows that", () => {
    const annotations = { [annotation.owner]: "u1@corp", [annotation.profile]: "legacy" };
    expect(seen(discovered(running(), annotations), { token: undefined })).toMatchObject({
      callable: true,
      driver: { phase: "ready" },
    });
  });

  it("waits for its Secret", () => {
    expect(seen(discovered(running()), { token: undefined })).toMatchObject({
      callable: false,
      driver: { phase: "starting" },
    });
  });

  it.each([
    [annotation.owner, {}],
    [annotation.owner, { ...owned, [annotation.owner]: "u1" }],
    [annotation.owner, { ...owned, [annotation.owner]: "@corp" }],
    [annotation.owner, { ...owned, [annotation.owner]: "u1@Corp X" }],
    [annotation.app, { ...owned, [annotation.app]: "Night_ly" }],
    [annotation.profile, { ...owned, [annotation.profile]: "huge" }],
    [annotation.profile, { ...owned, [annotation.profile]: "constructor" }],
    [annotation.tokenSecret, { [annotation.owner]: "u1@corp" }],
    [annotation.tokenSecret, { ...owned, [annotation.tokenSecret]: "a/b/c" }],
    [annotation.tokenSecret, { ...owned, [annotation.tokenSecret]: "../x", [annotation.profile]: "legacy" }],
  ])("is foreign without a good %s, and is told so (%#)", (which, annotations) => {
    expect(seen(discovered(running(), annotations))).toEqual({
      what: "foreign",
      why: expect.stringMatching(new RegExp(`add the annotation ${which} with`)),
    });
  });

  it("is another driver once its container was restarted", () => {
    const again = { ...running(), containerStatuses: [container({ running: { startedAt: after(14) } }, 2)] };
    for (const noted of [undefined, "uid-1", "uid-1-r1"]) {
      const annotations = noted === undefined ? owned : { ...owned, [annotation.pod]: noted };
      const observed = seen(discovered(again, annotations), { firstPodUid: "uid-1" });
      expect(observed).toMatchObject({ driver: { uid: "uid-1-r2", phase: "ready" }, readyPod: "uid-1-r2" });
      expect(seen(discovered(again, annotations), { answers: false })).toMatchObject({ driver: { phase: "starting" } });
    }
    const known = discovered({ ...again, conditions: [] }, { ...owned, [annotation.pod]: "uid-1-r2" });
    expect(seen(known, { answers: false })).toMatchObject({ driver: { phase: "ready" } });
  });

  it("has ended when its pod has, although nobody saw it ready", () => {
    expect(seen(discovered({ phase: "Succeeded" }))).toMatchObject({
      what: "ended",
      end: { uid: "uid-1", cause: "died" },
    });
    const gone = discovered(running(), owned, { deletionTimestamp: after(19) });
    expect(seen(gone, { firstPodUid: "uid-1" })).toMatchObject({ what: "ended", end: { cause: "vanished" } });
  });

  it("may take as long to start as it likes, but its failures are told while they last", () => {
    const pending = { phase: "Pending" } as const;
    expect(seen(discovered(pending), {}, made + 1e9)).toMatchObject({ driver: { phase: "starting" } });
    const broken = { ...pending, containerStatuses: [container({ waiting: { reason: "ImagePullBackOff" } })] };
    expect(seen(discovered(broken))).toMatchObject({ driver: { phase: "failed" } });
  });
});

describe("a pod that asks to be served", () => {
  it("carries the label, and is not a driver of ours", () => {
    const is = (labels: Record<string, string>) => isDiscovered(discovered(undefined, owned, { labels }));
    expect(is({ [label.discover]: "true" })).toBe(true);
    expect(is({ [label.discover]: "false" })).toBe(false);
    expect(is({ [label.discover]: "true", [label.driver]: "gh-1" })).toBe(false);
    expect(isDiscovered(podWith(undefined))).toBe(false);
  });

  it("names a Secret, and a key in it", () => {
    const of = (text: string) => tokenSecretOf(discovered(undefined, { [annotation.tokenSecret]: text }));
    expect(of("a.b")).toEqual({ name: "a.b", key: "token" });
    expect(of("a/k.x")).toEqual({ name: "a", key: "k.x" });
    for (const bad of ["", "/", "a/", "A", "a/b/c", "a b"]) expect(of(bad)).toBeUndefined();
    expect(tokenSecretOf(podWith(undefined))).toBeUndefined();
  });
});
