import { describe, expect, it } from "vitest";
import { type ApiCall, ApiError } from "../../../src/edges/kubernetes/api.ts";
import { annotation } from "../../../src/edges/kubernetes/labels.ts";
import { removeMain, unlessUsed } from "../../../src/edges/kubernetes/remove.ts";
import type { Term } from "../../../src/edges/kubernetes/term.ts";

// What is deleted is not what was known: the server's answers are scripted.

const stored = (version: string, annotations: Record<string, string> = {}, uid = "u") => ({
  metadata: { name: "gh-one", namespace: "ns", uid, resourceVersion: version, annotations },
});

/** A server with this one object, on which only the right preconditions delete. */
function serverWith(present: ReturnType<typeof stored>) {
  const deleted: unknown[] = [];
  const term: Term = {
    signal: new AbortController().signal,
    async call<T>({ method, body }: ApiCall) {
      if (method === "GET") return present as T;
      const { preconditions } = body as { preconditions: { uid: string; resourceVersion: string } };
      const { uid, resourceVersion } = present.metadata;
      if (preconditions.uid !== uid || preconditions.resourceVersion !== resourceVersion) {
        throw new ApiError(409, "Conflict", "precondition failed");
      }
      deleted.push(preconditions);
      return {} as T;
    },
  };
  return { term, deleted };
}

const known = stored("5", { [annotation.activity]: "a", [annotation.draining]: "d" });
const background = { options: { deletion: "Background" } } as const;
const main = { source: "pod", object: known } as const;
const changed = stored("6", { [annotation.activity]: "b", [annotation.draining]: "d" });

describe("the deletion of a driver's object", () => {
  it("takes place whatever was changed on it meanwhile", async () => {
    const { term, deleted } = serverWith(changed);
    await removeMain(background, term, main);
    expect(deleted).toEqual([{ uid: "u", resourceVersion: "6" }]);
  });

  it("leaves another object of that name alone", async () => {
    const { term, deleted } = serverWith(stored("7", {}, "other"));
    await removeMain(background, term, main);
    expect(deleted).toEqual([]);
  });

  it.each([changed, stored("6", { [annotation.activity]: "a" }), stored("6")])(
    "is given up for idleness where its use was recorded anew or its drain ended (%#)",
    async (present) => {
      const { term, deleted } = serverWith(present);
      await expect(removeMain(background, term, main, unlessUsed(known))).rejects.toMatchObject({
        reason: "NOT_READY",
        message: expect.stringContaining("judged anew"),
      });
      expect(deleted).toEqual([]);
    },
  );

  it("takes place for idleness where something else was changed", async () => {
    const present = stored("6", { ...known.metadata.annotations, other: "x" });
    const { term, deleted } = serverWith(present);
    await removeMain(background, term, main, unlessUsed(known));
    expect(deleted).toHaveLength(1);
  });
});
