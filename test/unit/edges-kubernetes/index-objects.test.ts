import { describe, expect, it } from "vitest";
import { createObjectIndex } from "../../../src/edges/kubernetes/index-objects.ts";
import { annotation } from "../../../src/edges/kubernetes/labels.ts";
import type { ObjectMeta, Stored } from "../../../src/edges/kubernetes/objects.ts";

const object = (uid: string, version: number, more: Partial<ObjectMeta> = {}): Stored => ({
  metadata: { name: `name-${uid}`, namespace: "ns", uid, resourceVersion: String(version), ...more },
});
const ownedBy = (uid: string) => ({ ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "owner", uid }] });
const facts = { annotations: { [annotation.facts]: JSON.stringify({ tokenSecret: "token" }) } };

describe("the index of objects", () => {
  it("names the main objects that a change concerns", () => {
    const index = createObjectIndex();
    expect(index.put("spark-connect", object("cr", 1, facts))).toEqual(["cr"]);
    expect(index.put("pod", object("pod", 2, ownedBy("cr")))).toEqual(["cr"]);
    expect(index.put("secret", object("secret", 3, { name: "token" }))).toEqual(["cr"]);
    expect(index.put("secret", object("other", 4, { name: "other" }))).toEqual([]);
    expect(index.put("secret", object("foreign", 5, { name: "token", namespace: "elsewhere" }))).toEqual([]);
    const main = index.main("cr");
    expect(index.ownedPods("cr").map(({ metadata }) => metadata.uid)).toEqual(["pod"]);
    expect(main && index.secretOf(main)?.metadata.uid).toBe("secret");
    expect(index.drop("pod", object("pod", 6))).toEqual(["cr"]);
    expect(index.ownedPods("cr")).toEqual([]);
  });

  it("takes a pod that somebody owns for no main object", () => {
    const index = createObjectIndex();
    index.put("pod", object("plain", 1));
    index.put("pod", object("owned", 2, ownedBy("cr")));
    expect(Array.from(index.mains(), ({ object: { metadata } }) => metadata.uid)).toEqual(["plain"]);
  });

  it("concerns the old and the new Secret's user where a main object names another", () => {
    const index = createObjectIndex();
    index.put("pod", object("pod", 1, facts));
    index.put("pod", object("pod", 2));
    expect(index.put("secret", object("secret", 3, { name: "token" }))).toEqual([]);
  });

  it("does not go back behind an own write, nor bring back what was deleted", () => {
    const index = createObjectIndex();
    index.put("pod", object("pod", 9));
    expect(index.putOwn("pod", object("pod", 11))).toEqual(["pod"]);
    expect(index.put("pod", object("pod", 10))).toEqual([]);
    expect(index.version("pod")).toBe("11");
    expect(index.put("pod", object("pod", 12))).toEqual(["pod"]);
    expect(index.putOwn("pod", object("pod", 11))).toEqual([]);
    index.drop("pod", object("pod", 13));
    expect(index.putOwn("pod", object("pod", 12))).toEqual([]);
    expect(index.main("pod")).toBeUndefined();
  });

  it("holds an incarnation until its pods and Secrets are gone too", () => {
    const index = createObjectIndex();
    index.put("spark-connect", object("cr", 1));
    index.put("pod", object("pod", 2, ownedBy("cr")));
    index.put("secret", object("secret", 3, ownedBy("cr")));
    for (const [source, uid] of [
      ["spark-connect", "cr"],
      ["pod", "pod"],
      ["secret", "secret"],
    ] as const) {
      expect(index.holds("cr")).toBe(true);
      index.drop(source, object(uid, 4));
    }
    expect(index.holds("cr")).toBe(false);
  });

  it("keeps a pod that has moved from one watch to another", () => {
    const index = createObjectIndex();
    index.put("discovered", object("pod", 1));
    index.put("pod", object("pod", 2));
    index.drop("discovered", object("pod", 3));
    expect(index.main("pod")?.source).toBe("pod");
  });
});
