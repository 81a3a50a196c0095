import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CheckRequest, Decision } from "../../src/decisions/decision.ts";
import { createAuthorize } from "../../src/flows/authorize.ts";
import type { AuthorizeDeps } from "../../src/flows/authorize-deps.ts";
import { GatewayError } from "../../src/kernel/errors.ts";
import type { Reason } from "../../src/kernel/reasons.ts";
import { alice, bob, depsWith, driverOf } from "../support/authorize-deps.ts";
import { type CheckEdge, readDenial, startCheckEdge, wireCheck } from "../support/check-client.ts";

let edge: CheckEdge;
let authorize: (request: CheckRequest) => Promise<Decision>;
beforeAll(async () => {
  edge = await startCheckEdge((request) => authorize(request));
});
afterAll(() => edge.close());

/** Mulberry32: the same numbers for the same seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const failures: (() => unknown)[] = [
  () => new Error("broken"),
  () => undefined,
  () => null,
  () => "a string",
  () => Object.create(null),
  () => new GatewayError("SESSION_FORBIDDEN", "no"),
  // Reasons that were meant for allows must not become one.
  () => new GatewayError("OWNER", ""),
  () => new GatewayError("ADMIN" satisfies Reason, "\ud800\n\u0000"),
];

/** The dependency's functions, each of which fails now and then: by throwing, rejecting, or answering nonsense. */
function unreliable<T extends object>(dependency: T, random: () => number, rate: number): T {
  return new Proxy(dependency, {
    get(target, property, receiver) {
      const value: unknown = Reflect.get(target, property, receiver);
      if (typeof value === "object" && value !== null) return unreliable(value, random, rate);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        if (random() >= rate) return Reflect.apply(value, target, args);
        const failure = failures[Math.floor(random() * failures.length)]?.();
        const how = random();
        // A note that is silently not taken cannot be told from one that is.
        if (how < 0.4 || property === "called") throw failure;
        if (how < 0.8) return Promise.reject(failure);
        return failure;
      };
    },
  });
}

/** A rejected promise where none was expected is nobody's to handle; the test is about answers. */
const ignored = () => undefined;
beforeAll(() => void process.on("unhandledRejection", ignored));
afterAll(() => void process.off("unhandledRejection", ignored));

describe("whatever fails, the answer is explicit", () => {
  it.each(Array.from({ length: 8 }, (_, i) => i + 1))("seed %i", async (seed) => {
    const random = seeded(seed);
    const verdicts = { allow: 0, deny: 0 };
    for (let round = 0; round < 150; round += 1) {
      const owner = random() < 0.7 ? alice : bob;
      const present = random() < 0.6;
      const { deps, seen } = depsWith({
        registry: {
          synced: random() < 0.9,
          byKey: () => (present ? driverOf(owner) : undefined),
          isEnding: () => false,
        },
        acquire: async () => ({ driver: driverOf(owner), heldMs: 1 }),
        auditTimeoutMs: 50,
      });
      authorize = createAuthorize(unreliable<AuthorizeDeps>(deps, random, 0.08));
      const user = random() < 0.8 ? "alice" : "bob";
      const response = await edge.check(wireCheck({ authorization: `Bearer ${user}`, "x-spark-session-id": "a.b" }));
      if (response.status !== 200) {
        readDenial(response);
        verdicts.deny += 1;
        continue;
      }
      verdicts.allow += 1;
      expect(response.headers.has("x-gatehouse-cluster")).toBe(true);
      expect(user).toBe(owner.user);
      expect(seen.called).toEqual(["uid-1"]);
      expect(seen.records).toMatchObject([{ verdict: "allow", user }]);
    }
    // Without both, the test would prove nothing.
    expect(verdicts.allow).toBeGreaterThan(5);
    expect(verdicts.deny).toBeGreaterThan(5);
  });
});
