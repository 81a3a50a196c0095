import { describe, expect, it } from "vitest";
import type { Driver } from "../../../src/drivers/driver.ts";
import { createAuthorize } from "../../../src/flows/authorize.ts";
import { GatewayError } from "../../../src/kernel/errors.ts";
import { sparkMethods } from "../../../src/spark/methods.ts";
import { alice, bob, depsWith, driverOf, etl, requestOf } from "../../support/authorize-deps.ts";
import { createFakeClock, settled } from "../../support/fake-clock.ts";

const path = (name: string) => `/spark.connect.SparkConnectService/${name}`;
const registryOf = (driver: Driver | undefined, ending = false) => ({
  synced: true,
  byKey: () => driver,
  isEnding: () => ending,
});
const bobsRequest = () => requestOf({ headers: { authorization: "Bearer bob" } });

describe("a call on a ready driver", () => {
  it("is allowed for its owner, noted as use and recorded", async () => {
    const { deps, seen } = depsWith();
    const decision = await createAuthorize(deps)(requestOf());
    expect(decision).toMatchObject({
      verdict: "allow",
      reason: "OWNER",
      id: "decision-1",
      method: "ExecutePlan",
      principal: alice,
      key: etl,
      tokenFingerprint: "fp-alice",
      driver: { uid: "uid-1", name: "gh-etl" },
      route: { cluster: "driver|sjns-data-dev/etl|uid-1", inspect: true },
      heldMs: 0,
    });
    expect(seen.called).toEqual(["uid-1"]);
    expect(seen.acquired).toEqual([]);
    expect(seen.records).toMatchObject([{ decision_id: "decision-1", verdict: "allow", user: "alice" }]);
    expect(seen.counted).toContainEqual({
      name: "gatehouse_decisions_total",
      labels: { verdict: "allow", reason: "OWNER" },
    });
  });

  it("is refused for anybody else, and the driver counts as unused", async () => {
    const { deps, seen } = depsWith();
    const decision = await createAuthorize(deps)(bobsRequest());
    expect(decision).toMatchObject({ verdict: "deny", reason: "SESSION_FORBIDDEN", principal: bob });
    expect(seen.called).toEqual([]);
    expect(seen.records).toMatchObject([{ verdict: "deny", user: "bob", driver_uid: "uid-1" }]);
  });

  it("goes uninspected where the profile says so", async () => {
    const { deps } = depsWith({ profile: () => ({ inspect: false, allowTokenless: false }) });
    expect(await createAuthorize(deps)(requestOf())).toMatchObject({ route: { inspect: false } });
  });
});

describe("an unknown and a forbidden session", () => {
  it("are answered alike", async () => {
    const forbidden = await createAuthorize(depsWith().deps)(bobsRequest());
    const unknown = await createAuthorize(depsWith({ registry: registryOf(undefined) }).deps)(bobsRequest());
    const told = ({ reason, message, retryAfterMs, fields }: Record<string, unknown>) => ({
      reason,
      message,
      retryAfterMs,
      fields,
    });
    expect(told({ ...unknown })).toEqual(told({ ...forbidden }));
    expect(told({ ...unknown })).toMatchObject({ reason: "SESSION_FORBIDDEN" });
  });
});

describe("refusals before a driver is looked for", () => {
  it.each([
    ["an unknown path", requestOf({ path: "/x" }), {}, "METHOD_UNKNOWN"],
    ["a path with a query", requestOf({ path: `${path("Config")}?x` }), {}, "METHOD_UNKNOWN"],
    ["no token", requestOf({ headers: {} }), {}, "TOKEN_MISSING"],
    ["two tokens", requestOf({ headers: { authorization: "Bearer alice,Bearer bob" } }), {}, "CREDENTIALS_AMBIGUOUS"],
    ["a bad token", requestOf({ headers: { authorization: "Bearer x" } }), {}, "TOKEN_MALFORMED"],
    [
      "an incomplete registry",
      requestOf(),
      { registry: { ...registryOf(driverOf(alice)), synced: false } },
      "NOT_READY",
    ],
  ] as const)("%s: the driver is not touched", async (_, request, changes, reason) => {
    const { deps, seen } = depsWith(changes);
    expect(await createAuthorize(deps)(request)).toMatchObject({ verdict: "deny", reason });
    expect(seen.called).toEqual([]);
    expect(seen.acquired).toEqual([]);
    expect(seen.records).toHaveLength(1);
  });

  it("names the token that was refused by its fingerprint", async () => {
    const { deps, seen } = depsWith();
    await createAuthorize(deps)(requestOf({ headers: { authorization: "Bearer x" } }));
    expect(seen.records).toMatchObject([{ token_fingerprint: "fp-x", user: null }]);
  });
});

describe("a session without a driver", () => {
  it("gets one where policy lets the caller create it", async () => {
    const { deps, seen } = depsWith({ registry: registryOf(undefined) });
    expect(await createAuthorize(deps)(requestOf())).toMatchObject({ verdict: "allow", reason: "CREATED" });
    expect(seen.acquired).toEqual(["interactive"]);
  });

  // PySpark follows an ExecutePlan that was turned away with ReattachExecute: refusing that would end its session.
  it.each(sparkMethods.map((m) => [m.name, m.startsWork || m.name === "ReattachExecute"] as const))(
    "%s starts it: %s",
    async (name, startsWork) => {
      const { deps, seen } = depsWith({ registry: registryOf(undefined) });
      const decision = await createAuthorize(deps)(requestOf({ path: path(name) }));
      expect(decision.reason).toBe(startsWork ? "CREATED" : "DRIVER_ABSENT");
      expect(seen.acquired).toHaveLength(startsWork ? 1 : 0);
    },
  );

  it("is not told to be without a driver to somebody who may not create it", async () => {
    const { deps } = depsWith({ registry: registryOf(undefined) });
    const decision = await createAuthorize(deps)({ ...bobsRequest(), path: path("ReleaseSession") });
    expect(decision.reason).toBe("SESSION_FORBIDDEN");
  });
});

describe("a driver that is not ready", () => {
  it.each([
    ["starting", "none"],
    ["failed", "interactive"],
  ] as const)("%s: its owner is held (profile %s)", async (phase, profile) => {
    const { deps, seen } = depsWith({ registry: registryOf(driverOf(alice, { phase })) });
    expect(await createAuthorize(deps)(requestOf())).toMatchObject({ verdict: "allow", reason: "OWNER" });
    expect(seen.acquired).toEqual([profile]);
  });

  it("failed, where its owner may start none: the provisioner tells the owner why", async () => {
    const { deps, seen } = depsWith({ registry: registryOf(driverOf(bob, { phase: "failed" })) });
    await createAuthorize(deps)(bobsRequest());
    expect(seen.acquired).toEqual(["none"]);
  });

  it.each(["starting", "failed"] as const)("%s: nobody else learns of it", async (phase) => {
    const { deps, seen } = depsWith({ registry: registryOf(driverOf(alice, { phase })) });
    expect(await createAuthorize(deps)(bobsRequest())).toMatchObject({ reason: "SESSION_FORBIDDEN" });
    expect(seen.acquired).toEqual([]);
  });

  it("held time is told apart from our own", async () => {
    let now = 0;
    const { deps, seen } = depsWith({
      registry: registryOf(undefined),
      ticks: () => now,
      acquire: async () => {
        now += 5_000;
        return { driver: driverOf(alice), heldMs: 5_000 };
      },
    });
    expect(await createAuthorize(deps)(requestOf())).toMatchObject({ heldMs: 5_000, latencyMs: 5_000 });
    expect(seen.records).toMatchObject([{ held_ms: 5_000, latency_ms: 5_000 }]);
  });
});

describe("after a hold", () => {
  const acquiring = (driver: Driver) => ({
    registry: registryOf(undefined),
    acquire: async () => ({ driver, heldMs: 10 }),
  });

  it("a driver that somebody else's start won is forbidden", async () => {
    const { deps, seen } = depsWith(acquiring(driverOf(bob)));
    expect(await createAuthorize(deps)(requestOf())).toMatchObject({ verdict: "deny", reason: "SESSION_FORBIDDEN" });
    expect(seen.called).toEqual([]);
  });

  it("a driver of another key is an internal error", async () => {
    const { deps, seen } = depsWith(acquiring(driverOf(alice, { key: { ...etl, cluster: "elsewhere" } })));
    expect(await createAuthorize(deps)(requestOf())).toMatchObject({ verdict: "deny", reason: "INTERNAL" });
    expect(seen.called).toEqual([]);
  });

  it("a failure with its log is for those only who may use the session", async () => {
    const failure = new GatewayError("DRIVER_FAILED", "exit code 1\nsecret of the log");
    const failing = (driver: Driver) => {
      let asked = 0;
      return depsWith({
        registry: { synced: true, byKey: () => (asked++ === 0 ? undefined : driver), isEnding: () => false },
        acquire: () => Promise.reject(failure),
      });
    };
    const mine = await createAuthorize(failing(driverOf(alice, { phase: "failed" })).deps)(requestOf());
    expect(mine).toMatchObject({ reason: "DRIVER_FAILED", message: failure.message });
    const theirs = await createAuthorize(failing(driverOf(bob, { phase: "failed" })).deps)(requestOf());
    expect(theirs).toMatchObject({ reason: "SESSION_FORBIDDEN" });
    expect(JSON.stringify(theirs)).not.toContain("secret");
  });
});

describe("a failure that left no driver behind", () => {
  it.each([
    ["alice-sub@dev", "exit code 1\nlog of the start"],
    ["bob-sub@dev", "the driver could not start a moment ago, for another user; try again soon"],
  ])("of a start for %s: alice is told %j", async (owner, message) => {
    const { deps } = depsWith({
      registry: registryOf(undefined),
      acquire: () =>
        Promise.reject(new GatewayError("DRIVER_FAILED", "exit code 1\nlog of the start", { fields: { owner } })),
    });
    const decision = await createAuthorize(deps)(requestOf());
    expect(decision).toMatchObject({ reason: "DRIVER_FAILED", message });
  });
});

describe("a draining driver", () => {
  const cases = (["idle", "max_ttl", "deleted"] as const).flatMap((reason) =>
    sparkMethods.map((m) => [reason, m.name, reason === "idle" || m.finishesWork] as const),
  );
  it.each(cases)("%s: %s passes: %s", async (reason, name, passes) => {
    const draining = driverOf(alice, { phase: "draining", draining: { reason, since: 1 } });
    const { deps, seen } = depsWith({ registry: registryOf(draining) });
    const decision = await createAuthorize(deps)(requestOf({ path: path(name) }));
    expect(decision.reason).toBe(passes ? "OWNER" : "DRIVER_DRAINING");
    expect(seen.called).toHaveLength(passes ? 1 : 0);
  });

  it("takes nothing at all once its stop is ordered; the client is to try again", async () => {
    const { deps, seen } = depsWith({ registry: registryOf(driverOf(alice), true) });
    const decision = await createAuthorize(deps)(requestOf({ path: path("Interrupt") }));
    expect(decision).toMatchObject({ verdict: "deny", reason: "DRIVER_DRAINING", retryAfterMs: 1000 });
    expect(seen.called).toEqual([]);
  });
});

describe("a driver without a token", () => {
  it.each([
    [true, "OWNER"],
    [false, "DRIVER_TOKENLESS"],
  ] as const)("allow_tokenless %s: %s", async (allowTokenless, reason) => {
    const { deps } = depsWith({
      registry: registryOf(driverOf(alice, { token: undefined })),
      profile: () => ({ inspect: true, allowTokenless }),
    });
    expect((await createAuthorize(deps)(requestOf())).reason).toBe(reason);
  });
});

describe("cancellation", () => {
  it.each(["verifier", "acquire"] as const)("during %s: refused and recorded at once", async (where) => {
    const never = () => new Promise<never>(() => undefined);
    const { deps, seen } = depsWith(
      where === "verifier" ? { verifier: { verify: never } } : { registry: registryOf(undefined), acquire: never },
    );
    const aborter = new AbortController();
    const deciding = createAuthorize(deps)(requestOf({ signal: aborter.signal }));
    await settled();
    expect(seen.records).toEqual([]);
    aborter.abort();
    expect(await deciding).toMatchObject({ verdict: "deny", reason: "REQUEST_CANCELLED" });
    expect(seen.records).toMatchObject([{ reason: "REQUEST_CANCELLED" }]);
  });

  it("before the call began: nothing is asked", async () => {
    const { deps } = depsWith({ verifier: { verify: () => Promise.reject(new Error("asked")) } });
    const decision = await createAuthorize(deps)(requestOf({ signal: AbortSignal.abort() }));
    expect(decision.reason).toBe("REQUEST_CANCELLED");
  });
});

describe("an audit that cannot write", () => {
  const broken = { write: () => Promise.reject(new Error("disk full")) };

  it("makes an allow a refusal that says so", async () => {
    const { deps, seen } = depsWith({ audit: broken });
    const decision = await createAuthorize(deps)(requestOf());
    expect(decision).toMatchObject({ verdict: "deny", reason: "AUDIT_UNAVAILABLE", retryAfterMs: 1000 });
    expect(decision).not.toHaveProperty("route");
    expect(seen.logged).toMatchObject([{ fields: { reason: "OWNER", verdict: "allow" } }]);
    expect(seen.counted).toContainEqual({
      name: "gatehouse_decisions_total",
      labels: { verdict: "deny", reason: "AUDIT_UNAVAILABLE" },
    });
  });

  it("leaves a refusal what it is", async () => {
    const { deps } = depsWith({ audit: broken });
    expect(await createAuthorize(deps)(bobsRequest())).toMatchObject({ reason: "SESSION_FORBIDDEN" });
  });

  it("lets the call pass where that is configured, and says so in the log", async () => {
    const { deps, seen } = depsWith({ audit: broken, onAuditFailure: "allow" });
    expect(await createAuthorize(deps)(requestOf())).toMatchObject({ verdict: "allow" });
    expect(seen.logged).toMatchObject([{ fields: { on_audit_failure: "allow" } }]);
  });

  it("counts as broken when it does not answer in time", async () => {
    const clock = createFakeClock();
    const { deps } = depsWith({ clock, audit: { write: () => new Promise(() => undefined) } });
    const deciding = createAuthorize(deps)(requestOf());
    await clock.advance(1_999);
    await clock.advance(1);
    expect(await deciding).toMatchObject({ reason: "AUDIT_UNAVAILABLE" });
    expect(clock.pending).toBe(0);
  });

  it("leaves no timer behind when it answers", async () => {
    const clock = createFakeClock();
    await createAuthorize(depsWith({ clock }).deps)(requestOf());
    await settled();
    expect(clock.pending).toBe(0);
  });

  it("is answered before the caller is", async () => {
    let written: () => void = () => undefined;
    const { deps } = depsWith({
      audit: {
        write: () =>
          new Promise((resolve) => {
            written = resolve;
          }),
      },
    });
    let answered = false;
    const deciding = createAuthorize(deps)(requestOf()).then(() => {
      answered = true;
    });
    await settled();
    expect(answered).toBe(false);
    written();
    await deciding;
    expect(answered).toBe(true);
  });
});
