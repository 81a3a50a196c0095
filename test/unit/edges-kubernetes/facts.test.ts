import { describe, expect, it } from "vitest";
import {
  activityText,
  drainingText,
  factsText,
  readActivity,
  readDraining,
  readFacts,
} from "../../../src/edges/kubernetes/facts.ts";
import { annotation, type DriverFacts } from "../../../src/edges/kubernetes/labels.ts";
import { activityLimits } from "../../../src/sessions/activity-state.ts";
import { facts, key, name } from "./observe-objects.ts";

const object = (annotations: Record<string, string>, metadata: object = {}) => ({
  metadata: { name, namespace: key.namespace, annotations, ...metadata },
});
const reading = (text: string, metadata: object = {}, cluster = "main") =>
  readFacts(object({ [annotation.facts]: text }, metadata), cluster);
const changed = (change: object) => JSON.stringify({ ...facts, ...change });

describe("facts", () => {
  it("are read back as they were written", () => {
    expect(reading(factsText(facts))).toEqual({ value: facts });
    const { tokenSecret: _, ...tokenless } = facts;
    expect(reading(factsText(tokenless))).toEqual({ value: tokenless });
  });

  it.each([
    ["no JSON", "{"],
    ["null", "null"],
    ["another version", changed({ v: 2 })],
    ["an unknown field", changed({ admin: true })],
    ["a wrong type", changed({ sharedWithGroups: "team" })],
    ["no owner", changed({ owner: "" })],
    ["a fraction of a time", changed({ createdAt: 1.5 })],
    ["a Secret that is null", changed({ tokenSecret: null })],
    ["too much", changed({ ownerUser: "x".repeat(40_000) })],
    ["another cluster", changed({ cluster: "other" })],
    ["another namespace", changed({ namespace: "other" })],
    ["another app", changed({ app: "other" })],
    ["an app that cannot be named", changed({ app: "Note_book" })],
  ])("are refused: %s", (_, text) => {
    const { value, note } = reading(text);
    expect(value).toBeUndefined();
    expect(note).toContain(annotation.facts);
  });

  it("are about their own object only", () => {
    const text = factsText(facts);
    expect(reading(text, { name: `${name}x` }).value).toBeUndefined();
    expect(reading(text, { namespace: "other" }).value).toBeUndefined();
    expect(reading(text, {}, "other").value).toBeUndefined();
    expect(readFacts(object({}), "main").note).toContain("no annotation");
  });

  it("are not written where they could not be read back", () => {
    const many: DriverFacts = { ...facts, sharedWithGroups: Array.from({ length: 300 }, (_, i) => `g${i}`) };
    const long: DriverFacts = { ...facts, sharedWithGroups: Array.from({ length: 50 }, () => "g".repeat(1_000)) };
    for (const one of [many, long])
      expect(() => factsText(one)).toThrow(expect.objectContaining({ reason: "DRIVER_FAILED" }));
  });
});

describe("the record of use", () => {
  const record = {
    v: 1,
    lastActive: 1_700_000_000_000,
    recordedAt: 1_700_000_000_001,
    streamingQueries: { s: 2 },
    detached: [{ operationId: "o", connectSession: "s", lastAttached: 5 }],
    connectSessions: ["s"],
  } as const;
  const read = (text: string) => readActivity(object({ [annotation.activity]: text }));

  it("is read back as it was written, and is absent where there is none", () => {
    expect(read(activityText(record))).toEqual({ value: record });
    expect(readActivity(object({}))).toEqual({ value: undefined });
    expect(readActivity({ metadata: { name } })).toEqual({ value: undefined });
  });

  it("may have more fields than we know of: a newer replica wrote it", () => {
    expect(read(JSON.stringify({ ...record, future: 1 })).value).toMatchObject(record);
  });

  it.each(["", "[]", '{"v":2}', JSON.stringify({ ...record, lastActive: "now" }), `{"v":1${" ".repeat(70_000)}}`])(
    "is ignored with a note where it makes no sense (%#)",
    (text) => {
      expect(read(text)).toEqual({ value: undefined, note: expect.stringContaining(annotation.activity) });
    },
  );

  it("is cut to our limits, the newest kept", () => {
    const ids = Array.from({ length: 100 }, (_, i) => `s${i}`);
    const text = activityText({
      ...record,
      streamingQueries: Object.fromEntries(ids.map((id) => [id, 1])),
      detached: ids.map((id, i) => ({ operationId: id, connectSession: id, lastAttached: i })),
      connectSessions: ids,
    });
    const { value } = read(text);
    expect(Object.keys(value?.streamingQueries ?? {})).toHaveLength(activityLimits.streamingSessions + 1);
    expect(value?.detached.map(({ operationId }) => operationId)).toEqual(ids.slice(-65).reverse());
    expect(value?.connectSessions).toEqual(ids.slice(-64));
  });
});

describe("the mark of a drain", () => {
  const read = (text: string) => readDraining(object({ [annotation.draining]: text }));

  it("is read back as it was written", () => {
    const draining = { reason: "max_ttl", since: 7 } as const;
    expect(read(drainingText(draining))).toEqual({ value: draining });
    expect(readDraining(object({}))).toEqual({ value: undefined });
  });

  it("is ignored with a note where it makes no sense", () => {
    for (const text of ["", "true", '{"reason":"whim","since":1}', '{"reason":"idle"}']) {
      expect(read(text)).toEqual({ value: undefined, note: expect.stringContaining(annotation.draining) });
    }
  });
});
