import { describe, expect, it } from "vitest";
import { secretRefusal, tokenIn } from "../../../src/edges/kubernetes/discovered-secret.ts";
import { createObjectIndex } from "../../../src/edges/kubernetes/index-objects.ts";
import { annotation, label } from "../../../src/edges/kubernetes/labels.ts";
import type { ObjectMeta, Secret, Stored } from "../../../src/edges/kubernetes/objects.ts";
import { key, podWith } from "./observe-objects.ts";

const { namespace } = key;
const secret = (metadata: Partial<ObjectMeta> = {}, data: Record<string, string> = {}): Stored<Secret> => ({
  metadata: { name: "theirs", namespace, uid: "s", resourceVersion: "1", ...metadata },
  data,
});
const pod = (annotations: Record<string, string>) =>
  podWith(undefined, { metadata: { name: "etl", namespace, labels: { [label.discover]: "true" }, annotations } });
const claims = { [annotation.owner]: "u1@corp", [annotation.tokenSecret]: "theirs" };
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("the Secret of a discovered driver", () => {
  it("is given where it says whose it is, and nothing speaks against it", () => {
    const owned = { [annotation.owner]: "u1@corp" };
    expect(secretRefusal(secret({ annotations: owned }), pod(claims))).toBeUndefined();
    const here = { ...owned, [annotation.session]: `${namespace}/etl` };
    expect(secretRefusal(secret({ annotations: here }), pod(claims))).toBeUndefined();
    const bound = { ...owned, [annotation.session]: `${namespace}/nightly` };
    const nightly = pod({ ...claims, [annotation.app]: "nightly" });
    expect(secretRefusal(secret({ annotations: bound }), nightly)).toBeUndefined();
  });

  it.each([
    [{ labels: { [label.driver]: "gh-one" } }, "another driver's"],
    [{ annotations: { [annotation.seal]: "seal" } }, "another driver's"],
    [{ annotations: { [annotation.session]: `${namespace}/other` } }, "another session"],
    [{}, "does not say whose it is"],
    [{ annotations: { [annotation.session]: `${namespace}/etl` } }, "does not say whose it is"],
    [{ annotations: { [annotation.owner]: "u2@corp" } }, "another owner"],
  ])("is refused: %j", (metadata, why) => {
    expect(secretRefusal(secret(metadata), pod(claims))).toContain(why);
  });

  it("is the one of its annotation, whatever facts were copied onto it", () => {
    const index = createObjectIndex();
    index.put("secret", secret());
    index.put("secret", secret({ name: "ours", uid: "o" }));
    const facts = JSON.stringify({ tokenSecret: "ours" });
    const { metadata } = pod({ ...claims, [annotation.facts]: facts });
    const object = { metadata };
    expect(index.secretOf({ source: "discovered", object })?.metadata.name).toBe("theirs");
    expect(index.secretOf({ source: "pod", object })?.metadata.name).toBe("ours");
    expect(index.secretOf({ source: "pod", object: { metadata: pod(claims).metadata } })).toBeUndefined();
  });
});

describe("the token in a Secret", () => {
  it("is what stands under the key", () => {
    expect(tokenIn(secret({}, { token: base64("abc\n") }))).toBe("abc");
    expect(tokenIn(secret({}, { token: base64("abc"), code: base64("x-y.z==") }), "code")).toBe("x-y.z==");
  });

  it.each([
    {},
    { token: "" },
    { token: base64("a\r\nx-evil: b") },
    { token: base64("a b") },
    { token: base64("ä") },
    { token: base64("\u0000") },
    { token: base64("x".repeat(8_193)) },
  ])("is none where no header could carry it (%#)", (data) => {
    expect(tokenIn(secret({}, data as Record<string, string>))).toBeUndefined();
  });

  it("is none under the name of what every object has", () => {
    expect(tokenIn(secret(), "constructor")).toBeUndefined();
  });
});
