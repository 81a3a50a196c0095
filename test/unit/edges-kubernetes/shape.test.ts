import { describe, expect, it } from "vitest";
import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import { listAll } from "../../../src/edges/kubernetes/reflector-list.ts";
import { watchTurn } from "../../../src/edges/kubernetes/reflector-watch.ts";
import { asObject } from "../../../src/edges/kubernetes/shape.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { scriptedKubeApi } from "../../support/scripted-kube-api.ts";

const metadata = { name: "a", uid: "u", resourceVersion: "1" };
const reference = { apiVersion: "v1", kind: "Pod", name: "p", uid: "u2" };
const broken: readonly unknown[] = [
  undefined,
  null,
  "pod",
  [],
  {},
  { metadata: null },
  { metadata: {} },
  { metadata: { ...metadata, name: 7 } },
  { metadata: { ...metadata, uid: {} } },
  { metadata: { ...metadata, resourceVersion: 7 } },
  { metadata: { ...metadata, deletionTimestamp: 1 } },
  { metadata: { ...metadata, labels: null } },
  { metadata: { ...metadata, labels: { a: 1 } } },
  { metadata: { ...metadata, annotations: ["a"] } },
  { metadata: { ...metadata, ownerReferences: null } },
  { metadata: { ...metadata, ownerReferences: {} } },
  { metadata: { ...metadata, ownerReferences: [null] } },
  { metadata: { ...metadata, ownerReferences: [{ ...reference, uid: 1 }] } },
];

describe("an object as the API server tells it", () => {
  it("is taken as it is", () => {
    const whole = {
      metadata: { ...metadata, labels: { a: "b" }, annotations: {}, ownerReferences: [reference] },
      spec: {},
      status: {},
    };
    expect(asObject(whole)).toBe(whole);
    expect(asObject({ metadata })).toEqual({ metadata });
  });

  it("has no specification or status where they are of a wrong type: only a CRD's schema vouches for them", () => {
    expect(asObject({ metadata, spec: [], status: "Running" })).toEqual({ metadata });
    expect(asObject({ metadata, spec: { a: 1 }, status: null })).toEqual({ metadata, spec: { a: 1 } });
  });

  it.each(broken)("is refused where it is none: %j", (told) => {
    expect(() => asObject(told)).toThrow(ApiError);
  });
});

describe("a list that makes no sense", () => {
  const list = async (answer: unknown) => {
    const api = scriptedKubeApi(() => answer);
    return await listAll(
      api,
      "/api/v1/pods",
      { labelSelector: undefined, fieldSelector: undefined },
      2,
      new AbortController().signal,
    );
  };

  it.each([
    null,
    "list",
    { metadata: { resourceVersion: 5 }, items: [] },
    { metadata: { resourceVersion: "5" }, items: {} },
    { metadata: { resourceVersion: "5" }, items: [{ metadata }, null] },
    { metadata: { resourceVersion: "5", continue: "again" }, items: [] },
  ])("is an answer that failed, not a list without those objects: %j", async (answer) => {
    await expect(list(answer)).rejects.toThrow(ApiError);
  });

  it("may write an empty list as null", async () => {
    expect(await list({ metadata: { resourceVersion: "5" }, items: null })).toEqual({ items: [], version: "5" });
  });
});

describe("a watch that makes no sense", () => {
  it.each([
    ["ADDED", null],
    ["MODIFIED", { metadata: { name: 7 } }],
    ["DELETED", "pod"],
    ["BOOKMARK", { metadata: 5 }],
    ["EXPLODED", { metadata }],
  ])("has failed, and tells nothing: %s %j", async (type, object) => {
    const told: unknown[] = [];
    const api = scriptedKubeApi(() => undefined);
    const turn = watchTurn({
      api,
      path: "/api/v1/pods",
      selection: { labelSelector: undefined, fieldSelector: undefined },
      version: "1",
      seconds: 240,
      staleAfterMs: 90_000,
      clock: createFakeClock(),
      signal: new AbortController().signal,
      onOpen: () => undefined,
      onChange: (...change) => void told.push(change),
      onVersion: (version) => void told.push(version),
    });
    api.latest.event(type as "ADDED", object);
    await expect(turn).rejects.toMatchObject({ name: "ApiError", status: 0 });
    expect(told).toEqual([]);
  });
});
