import { expect, it } from "vitest";
import { createDrift } from "../../../src/edges/kubernetes/drift.ts";
import { annotation } from "../../../src/edges/kubernetes/labels.ts";
import { templateHash } from "../../../src/edges/kubernetes/template-hash.ts";
import { podProfile } from "../../support/kube/pod-profile.ts";

const made = (uid: string, hash: string | undefined) => ({
  metadata: {
    name: "driver",
    uid,
    resourceVersion: "1",
    ...(hash === undefined ? {} : { annotations: { [annotation.template]: hash } }),
  },
});

it("tells once of each driver whose profile has changed since, and forgets it", () => {
  const drift = createDrift({ default: podProfile });
  expect(drift.note(made("same", templateHash(podProfile)), "default")).toBe(false);
  expect(drift.note(made("theirs", undefined), "default")).toBe(false);
  expect(drift.note(made("old", "0123"), "default")).toBe(true);
  expect(drift.note(made("old", "0123"), "default")).toBe(false);
  expect(drift.note(made("gone", "0123"), "no such profile")).toBe(false);
  expect(drift.count).toBe(1);
  drift.forget("old");
  expect(drift.count).toBe(0);
});
