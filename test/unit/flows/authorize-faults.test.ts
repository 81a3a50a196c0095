import { describe, expect, it } from "vitest";
import { createAuthorize } from "../../../src/flows/authorize.ts";
import type { AuthorizeDeps } from "../../../src/flows/authorize-deps.ts";
import { alice, depsWith, driverOf, requestOf, type Seen } from "../../support/authorize-deps.ts";

const boom = (): never => {
  throw new Error("boom: token=eyJ.secret");
};
// Names no session, so that the fallback is asked too.
const unnamed = requestOf({ headers: { authorization: "Bearer alice" } });
const absent = { synced: true, byKey: () => undefined, isEnding: () => false };
const present = { synced: true, byKey: () => driverOf(alice), isEnding: () => false };

/** Each dependency, failing in each way that it can. */
const faults: [string, (good: AuthorizeDeps) => Partial<AuthorizeDeps>][] = [
  ["clock.now", (good) => ({ clock: { ...good.clock, now: boom } })],
  ["ticks", () => ({ ticks: boom })],
  ["newId", () => ({ newId: boom })],
  ["fingerprint", () => ({ fingerprint: boom })],
  ["verifier throws", () => ({ verifier: { verify: boom } })],
  ["verifier rejects", () => ({ verifier: { verify: async () => boom() } })],
  ["verifier rejects with undefined", () => ({ verifier: { verify: () => Promise.reject(undefined) } })],
  ["sessions.fallback", (good) => ({ sessions: { ...good.sessions, fallback: boom } })],
  ["registry.byKey", () => ({ registry: { ...present, byKey: boom } })],
  ["registry.isEnding", () => ({ registry: { ...present, isEnding: boom } })],
  ["registry.synced", () => ({ registry: Object.defineProperty({ ...present }, "synced", { get: boom }) })],
  ["policy.access", (good) => ({ policy: { ...good.policy, access: boom } })],
  ["policy.creation", (good) => ({ registry: absent, policy: { ...good.policy, creation: boom } })],
  ["acquire throws", () => ({ registry: absent, acquire: boom })],
  ["acquire rejects", () => ({ registry: absent, acquire: async () => boom() })],
  ["profile", () => ({ profile: boom })],
  ["clusterName", () => ({ clusterName: boom })],
  ["called", () => ({ called: boom })],
];

describe.each(faults)("%s fails", (_, fault) => {
  it("the call is refused as INTERNAL, recorded, and told nothing", async () => {
    const good = depsWith();
    const seen: Seen = good.seen;
    const decision = await createAuthorize({ ...good.deps, ...fault(good.deps) })(unnamed);
    expect(decision).toMatchObject({ verdict: "deny", reason: "INTERNAL", message: "internal error" });
    expect(decision).not.toHaveProperty("route");
    expect(seen.records).toMatchObject([{ kind: "decision", verdict: "deny", reason: "INTERNAL" }]);
    expect(JSON.stringify([seen.records, decision])).not.toContain("boom");
    expect(seen.logged.some(({ message }) => message === "a decision failed")).toBe(true);
  });
});

describe("what only watches decides nothing", () => {
  it.each<[string, Partial<AuthorizeDeps>]>([
    ["metrics", { metrics: { count: boom, set: boom, observe: boom } }],
    ["log", { log: { debug: boom, info: boom, warn: boom, error: boom, child: boom } }],
  ])("%s fails: the verdict stands", async (_, changes) => {
    expect((await createAuthorize(depsWith(changes).deps)(requestOf())).verdict).toBe("allow");
    const refused = await createAuthorize(depsWith({ ...changes, fingerprint: boom }).deps)(requestOf());
    expect(refused).toMatchObject({ verdict: "deny", reason: "INTERNAL" });
  });

  it.each<[string, Partial<AuthorizeDeps>]>([
    ["audit throws", { audit: { write: boom } }],
    [
      "audit and log",
      { audit: { write: boom }, log: { debug: boom, info: boom, warn: boom, error: boom, child: boom } },
    ],
    ["the audit's timer", { clock: { now: () => 1, after: boom } }],
    ["a time that is none", { clock: { now: () => Number.NaN, after: () => () => undefined } }],
  ])("%s: refused as AUDIT_UNAVAILABLE", async (_, changes) => {
    const decision = await createAuthorize(depsWith(changes).deps)(requestOf());
    expect(decision).toMatchObject({ verdict: "deny", reason: "AUDIT_UNAVAILABLE" });
  });
});
