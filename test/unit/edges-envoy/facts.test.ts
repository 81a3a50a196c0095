import { describe, expect, it } from "vitest";
import { type Facts, factHeaders, factsOf } from "../../../src/edges/envoy/facts.ts";
import type { Struct } from "../../../src/edges/envoy/protos-types.ts";
import { metadataHeaders } from "../../../src/snapshots/check-headers.ts";
import { factStruct, metadataOf } from "../../support/facts.ts";
import { pick, seeded, text } from "../../support/seeded.ts";

// What a decision says arrives as it was said, or not at all: a name that changes on its way would be another identity.

const back = (facts: Facts): Facts => factsOf(factStruct(facts));
/** Compared without prototypes, `__proto__` as a name like any other. */
const pairs = (facts: Facts): readonly (readonly [string, string | boolean])[] =>
  Object.entries(facts).sort(([a], [b]) => (a < b ? -1 : 1));
const made = (entries: readonly (readonly [string, string | boolean])[]): Facts => Object.fromEntries(entries);

const hard = [
  ...Array.from({ length: 0x21 }, (_, code) => String.fromCharCode(code)),
  ..."\t,=,&,%,+,;,:,\",',\\,/,#,?,<,>,[,],{,},|,^,`,~,!,$,*,(,),@".split(","),
  ..."\r\n \x7f \x80 \xff \u0100 \u2028 \ufeff \ufffd ä 漢 🎉 👩‍🚀 %41 %zz a Z 0".split(" "),
  ..."&facts= &user_id=bob =bob __proto__ inspect=false".split(" "),
];
const names = [
  "user_id",
  "user_name",
  "method",
  "session",
  "driver_uid",
  "cluster",
  "request_id",
  "reason",
  "__proto__",
];

function randomFacts(random: () => number): Facts {
  const chosen = names.filter(() => random() < 0.6).map((name) => [name, text(random, hard, 0, 8)] as const);
  return made([
    ...chosen,
    ...(random() < 0.7 ? [["decision_id", text(random, hard, 0, 4)] as const] : []),
    ...(random() < 0.7 ? [["inspect", random() < 0.5] as const] : []),
  ]);
}

describe("facts", () => {
  it("come back as they were, whatever their texts", () => {
    const random = seeded(1);
    for (let round = 0; round < 5000; round += 1) {
      const facts = randomFacts(random);
      expect(pairs(back(facts))).toEqual(pairs(facts));
    }
  });

  it("of every single character come back as they were", () => {
    for (let code = 0; code < 0x3000; code += 1) {
      const one = String.fromCharCode(code);
      const facts = { user_id: one, session: `a${one}b`, decision_id: one };
      expect(pairs(back(facts))).toEqual(pairs(facts));
    }
  });

  it("are printable ASCII without spaces, in headers that Envoy makes metadata of", () => {
    const random = seeded(2);
    for (let round = 0; round < 2000; round += 1) {
      const headers = factHeaders(randomFacts(random));
      const named = headers.filter((_, at) => at % 2 === 0);
      expect(new Set(named).size).toBe(named.length);
      for (const name of named) expect(metadataHeaders).toContain(name);
      for (const value of headers.filter((_, at) => at % 2 === 1)) expect(value).toMatch(/^[!-~]*$/);
    }
  });

  it.each(["\ud800", "\udc00", "a\ud83cb", "\udf89\ud83c"])("with a lone surrogate (%j) are none", (broken) => {
    expect(() => factHeaders({ user_id: broken })).toThrow(URIError);
    expect(() => factHeaders({ decision_id: `a${broken}` })).toThrow(URIError);
  });

  it("that are empty, or absent, come back so", () => {
    expect(pairs(back({}))).toEqual([]);
    expect(pairs(back({ user_id: "", decision_id: "" }))).toEqual([
      ["decision_id", ""],
      ["user_id", ""],
    ]);
    for (const none of [undefined, { fields: {} }, { fields: { facts: {} } }]) {
      expect(pairs(factsOf(none))).toEqual([]);
    }
  });

  it("have no prototype that could speak for them", () => {
    const facts = back({ user_id: "alice" });
    expect(Object.getPrototypeOf(facts)).toBe(null);
    expect([facts["constructor"], facts["toString"], facts["__proto__"]]).toEqual([undefined, undefined, undefined]);
    expect(pairs(factsOf(read({ facts: "__proto__=x&constructor=y" })))).toEqual([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });
});

/** Metadata with those texts. */
const read = (texts: Readonly<Record<string, string>>): Struct => metadataOf(new Map(Object.entries(texts)));

describe("damaged metadata", () => {
  it.each(["%", "%4", "%zz", "a%", "%ff", "%c3%28", "%e6%bc", "%ed%a0%80", "%u0041"])("%s is no fact", (bad) => {
    expect(() => factsOf(read({ facts: `user_id=${bad}` }))).toThrow(URIError);
    expect(() => factsOf(read({ facts: `user_id=alice&session=${bad}` }))).toThrow(URIError);
    expect(() => factsOf(read({ facts: "user_id=alice", decision_id: bad }))).toThrow(URIError);
  });

  it("that is cut short throws, or says of each name what was said or less, and nothing of other names", () => {
    const random = seeded(3);
    for (let round = 0; round < 2000; round += 1) {
      const facts = randomFacts(random);
      const headers = factHeaders(facts);
      const whole = headers.at(-1) ?? "";
      const cut = read({ facts: whole.slice(0, Math.floor(random() * whole.length)) });
      let got: Facts;
      try {
        got = factsOf(cut);
      } catch (error) {
        expect(error).toBeInstanceOf(URIError);
        continue;
      }
      for (const [name, value] of pairs(got)) expect(String(facts[name]).startsWith(String(value))).toBe(true);
    }
  });

  it("with an escape that was broken never gives what was not said", () => {
    const random = seeded(4);
    for (let round = 0; round < 2000; round += 1) {
      const user = `漢${text(random, hard, 0, 5)}`;
      const whole = factHeaders({ user_id: user, session: "a/b" }).at(-1) ?? "";
      const escapes = [...whole.matchAll(/%/g)].map(({ index }) => index);
      const at = pick(random, escapes) + 1 + Math.floor(random() * 2);
      const broken = `${whole.slice(0, at)}g${whole.slice(at + 1)}`;
      expect(() => factsOf(read({ facts: broken }))).toThrow(URIError);
    }
  });
});

describe("inspect", () => {
  it("comes back as the boolean that it was", () => {
    expect(back({ inspect: true })["inspect"]).toBe(true);
    expect(back({ inspect: false })["inspect"]).toBe(false);
    expect("inspect" in back({ user_id: "alice" })).toBe(false);
  });

  it.each(["", "True", "FALSE", "true ", " false", "0", "1", "no", "null", "false,false", "true,false", "%66alse"])(
    "is nothing where the metadata says %j",
    (value) => {
      expect("inspect" in factsOf(read({ inspect: value, facts: "user_id=alice" }))).toBe(false);
    },
  );

  // Whoever inspects takes nothing but a boolean for an answer.
  it("is no boolean from among the other facts", () => {
    for (const facts of ["inspect=false", "user_id=alice&inspect=false", "inspect=true&inspect=false"]) {
      expect(typeof factsOf(read({ facts }))["inspect"]).toBe("string");
      expect(factsOf(read({ facts, inspect: "true" }))["inspect"]).toBe(true);
    }
    expect(back({ user_id: "x&inspect=false", inspect: true })["inspect"]).toBe(true);
  });

  it("that is no text is nothing", () => {
    for (const value of [{ bool_value: false }, { boolValue: false }, { numberValue: 0 }, {}]) {
      expect("inspect" in factsOf({ fields: { inspect: value } })).toBe(false);
    }
  });
});
