import { describe, expect, it } from "vitest";
import type { DecisionRecord } from "../../../src/decisions/audit.ts";
import { type ApiCall, type ApiCallDeps, createApiCalls } from "../../../src/flows/api-calls.ts";
import { alice, depsWith, driverOf, etl } from "../../support/authorize-deps.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const call = (token: string): ApiCall => ({
  decisionId: "decision-1",
  requestId: "req-1",
  sourceAddress: "127.0.0.1",
  method: "Keepalive",
  headers: { authorization: `Bearer ${token}` },
  signal: new AbortController().signal,
});

function setUp(changes: Partial<ApiCallDeps> = {}) {
  const { deps, seen } = depsWith();
  const kept: string[] = [];
  const mine = driverOf(alice);
  const api = createApiCalls({
    ...deps,
    registry: { synced: true, byKey: (key) => (key.app === "etl" ? mine : undefined), all: () => [mine] },
    keepalive: (uid) => void kept.push(uid),
    usage: () => ({ busy: [], lastActive: 5 }),
    lifetimes: () => ({ idleTimeoutMs: 10, maxTtlMs: 100 }),
    ...changes,
  });
  return { api, kept, counted: seen.counted, records: seen.records as readonly DecisionRecord[] };
}

describe("a keepalive", () => {
  it("is recorded before it counts", async () => {
    const order: string[] = [];
    const { api } = setUp({
      audit: { write: async ({ kind }) => void order.push(kind) },
      keepalive: (uid) => void order.push(uid),
    });
    await api.keepalive(call("alice"), etl);
    expect(order).toEqual(["decision", "uid-1"]);
  });

  it("is refused alike for somebody else's session and for none, and each refusal is recorded", async () => {
    const { api, kept, records } = setUp();
    const theirs = await api.keepalive(call("bob"), etl).catch((error: unknown) => error);
    const unknown = await api.keepalive(call("bob"), { ...etl, app: "none" }).catch((error: unknown) => error);
    expect(theirs).toMatchObject({ reason: "SESSION_FORBIDDEN" });
    expect(String(unknown).replace("/none", "/etl")).toBe(String(theirs));
    expect(records.map(({ verdict, reason, user }) => [verdict, reason, user])).toEqual([
      ["deny", "SESSION_FORBIDDEN", "bob"],
      ["deny", "SESSION_FORBIDDEN", "bob"],
    ]);
    expect(kept).toEqual([]);
  });

  it("is refused, and counted so, where the audit does not answer in time", async () => {
    const clock = createFakeClock();
    const audit = { write: () => new Promise<void>(() => undefined) };
    const { api, kept, counted } = setUp({ clock, auditTimeoutMs: 2_000, audit });
    const answer = api.keepalive(call("alice"), etl).catch((error: unknown) => error);
    await clock.advance(2_000);
    expect(await answer).toMatchObject({ reason: "AUDIT_UNAVAILABLE" });
    expect(counted.map(({ labels }) => labels)).toEqual([{ verdict: "deny", reason: "AUDIT_UNAVAILABLE" }]);
    expect(kept).toEqual([]);
  });
});

describe("the list of sessions", () => {
  it("holds what the caller may use, and nothing before all drivers are known", async () => {
    const { api } = setUp();
    expect(await api.sessions(call("alice"))).toMatchObject([{ key: "sjns-data-dev/etl", idleDeadline: 15 }]);
    expect(await api.sessions(call("bob"))).toEqual([]);
    const early = setUp({ registry: { synced: false, byKey: () => undefined, all: () => [] } });
    await expect(early.api.sessions(call("alice"))).rejects.toMatchObject({ reason: "NOT_READY" });
  });
});
