import { describe, expect, it } from "vitest";
import type { AuditRecord } from "../../../src/decisions/audit.ts";
import { createRegistry } from "../../../src/drivers/registry.ts";
import { createProvisioner } from "../../../src/flows/provision.ts";
import type { ProvisionerOptions } from "../../../src/flows/provision-deps.ts";
import { GatewayError } from "../../../src/kernel/errors.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { createFakeClock, settled } from "../../support/fake-clock.ts";
import { aDriver, aKey, createFakeRuntime } from "../../support/fake-runtime.ts";

const limits = { holdMs: 60_000, maxHoldsPerOwner: 8, maxHolds: 20, failureMemoryMs: 10_000 };

function setUp(change: Partial<ProvisionerOptions> = {}) {
  const clock = createFakeClock();
  const registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
  const runtime = createFakeRuntime(registry.sink, clock);
  registry.sink.synced();
  const records: AuditRecord[] = [];
  const steps: string[] = [];
  const provisioner = createProvisioner({
    runtime: {
      start(request) {
        steps.push("order");
        return runtime.start(request);
      },
    },
    registry,
    clock,
    audit: {
      async write(record) {
        steps.push("audit");
        records.push(record);
      },
    },
    metrics: noMetrics,
    log: silentLog,
    limits,
    onDemand: true,
    sharedWith: () => ["bi"],
    nameOf: (key) => `driver-of-${key.app}`,
    publishNow: () => steps.push("publish"),
    random: () => 0.5,
    ...change,
  });
  return { clock, registry, runtime, records, steps, provisioner };
}

const principal = (subject: string) => ({
  issuer: "https://issuer",
  issuerName: "dev",
  subject,
  user: subject,
  groups: [],
  team: undefined,
  tokenFingerprint: "0",
  expiresAt: 0,
});

const ask = (app: string, more: { user?: string; create?: boolean; signal?: AbortSignal } = {}) => ({
  key: aKey(app),
  principal: principal(more.user ?? "alice"),
  profile: more.create === false ? undefined : "interactive",
  create: more.create ?? true,
  decisionId: "decision-1",
  signal: more.signal ?? new AbortController().signal,
});

const codes = (results: readonly PromiseSettledResult<unknown>[]) =>
  results.map((result) => (result.status === "fulfilled" ? "served" : (result.reason as GatewayError).reason));

describe("acquiring a driver", () => {
  it("gives a ready or draining driver at once, also while closed or not in sync", async () => {
    const { runtime, provisioner } = setUp();
    runtime.put(aDriver({ phase: "draining" }));
    provisioner.close();
    expect(await provisioner.acquire(ask("app"))).toMatchObject({ driver: { uid: "uid-1" }, heldMs: 0 });
  });

  it("places one audited order for many callers, and serves all when the driver is ready", async () => {
    const { clock, runtime, provisioner, records, steps } = setUp();
    const calls = Array.from({ length: 8 }, () => provisioner.acquire(ask("app")));
    await clock.advance(5_000);
    expect(provisioner.holds()).toBe(8);
    runtime.ready("made-1");
    const served = await Promise.all(calls);
    expect(served.every((one) => one.driver.uid === "made-1" && one.heldMs === 5_000)).toBe(true);
    expect(runtime.starts).toEqual([
      { key: aKey("app"), owner: "alice@dev", ownerUser: "alice", sharedWithGroups: ["bi"], profile: "interactive" },
    ]);
    expect(steps).toEqual(["audit", "order", "publish"]);
    expect(records).toMatchObject([
      { kind: "driver", action: "start", decision_id: "decision-1", session: "sjns-data-dev/app", owner: "alice@dev" },
    ]);
    expect(provisioner.holds()).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it("serves twenty callers of one user: eight held, the others told to come back", async () => {
    const { runtime, provisioner } = setUp();
    const calls = Promise.allSettled(Array.from({ length: 20 }, () => provisioner.acquire(ask("app"))));
    await settled();
    runtime.ready("made-1");
    const results = await calls;
    expect(codes(results)).toEqual([...Array(8).fill("served"), ...Array(12).fill("HOLD_LIMIT")]);
    const bounced = results.find((result) => result.status === "rejected")?.reason as GatewayError;
    expect(bounced.retryAfterMs).toBe(3_000);
    await expect(provisioner.acquire(ask("app"))).resolves.toMatchObject({ heldMs: 0 });
  });

  it("bounds the holds of all owners together, and starts nothing beyond", async () => {
    const { runtime, provisioner } = setUp();
    const calls = Promise.allSettled(
      ["a", "b", "c"].flatMap((user) =>
        Array.from({ length: 8 }, () => provisioner.acquire(ask(`app-${user}`, { user }))),
      ),
    );
    await settled();
    expect(provisioner.holds()).toBe(20);
    await expect(provisioner.acquire(ask("app-d", { user: "d" }))).rejects.toMatchObject({ reason: "HOLD_LIMIT" });
    expect(runtime.starts).toHaveLength(3);
    provisioner.close();
    expect(codes(await calls).filter((code) => code === "HOLD_LIMIT")).toHaveLength(4);
  });

  it("turns 1,100 cold calls of one user away in constant time each", async () => {
    const { provisioner } = setUp();
    const began = performance.now();
    const results = Promise.allSettled(Array.from({ length: 1_100 }, (_, i) => provisioner.acquire(ask(`app-${i}`))));
    await settled();
    expect(performance.now() - began).toBeLessThan(500);
    expect(provisioner.holds()).toBe(8);
    provisioner.close();
    expect(codes(await results).filter((code) => code === "HOLD_LIMIT")).toHaveLength(1_092);
  });

  it("answers DRIVER_STARTING at the holding limit, and the start goes on", async () => {
    const { clock, runtime, provisioner } = setUp();
    const call = Promise.allSettled([provisioner.acquire(ask("app"))]);
    await clock.advance(limits.holdMs - 1);
    expect(provisioner.holds()).toBe(1);
    await clock.advance(1);
    expect(await call).toMatchObject([{ reason: { reason: "DRIVER_STARTING", retryAfterMs: 3_000 } }]);
    const again = provisioner.acquire(ask("app"));
    await settled();
    runtime.ready("made-1");
    await again;
    expect(runtime.starts).toHaveLength(1);
  });

  it("stops holding when the caller goes, and the start goes on", async () => {
    const { runtime, provisioner, steps } = setUp();
    const caller = new AbortController();
    const call = Promise.allSettled([provisioner.acquire(ask("app", { signal: caller.signal }))]);
    await settled();
    caller.abort();
    expect(codes(await call)).toEqual(["REQUEST_CANCELLED"]);
    expect(provisioner.holds()).toBe(0);
    runtime.ready("made-1");
    await settled();
    expect(steps).not.toContain("publish");
    expect(runtime.starts).toHaveLength(1);
  });

  it("waits for a start that it may not order, but orders none", async () => {
    const { runtime, provisioner } = setUp();
    await expect(provisioner.acquire(ask("app", { create: false }))).rejects.toMatchObject({
      reason: "SESSION_FORBIDDEN",
    });
    runtime.put(aDriver({ phase: "starting", address: undefined }));
    const call = provisioner.acquire(ask("app", { create: false }));
    await settled();
    runtime.ready("uid-1");
    expect((await call).driver.uid).toBe("uid-1");
    expect(runtime.starts).toEqual([]);
  });

  it("starts nothing where on-demand is off, before the first list, or once closed", async () => {
    const off = setUp({ onDemand: false });
    await expect(off.provisioner.acquire(ask("app"))).rejects.toMatchObject({ reason: "ON_DEMAND_DISABLED" });
    const { clock, provisioner } = setUp();
    const registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
    const early = setUp({ registry });
    await expect(early.provisioner.acquire(ask("app"))).rejects.toMatchObject({ reason: "NOT_READY" });
    provisioner.close();
    await expect(provisioner.acquire(ask("app"))).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
  });

  it("refuses what cannot be audited, and orders nothing", async () => {
    const refuse = () => Promise.reject(new GatewayError("AUDIT_UNAVAILABLE", "no"));
    const { runtime, provisioner } = setUp({ audit: { write: refuse } });
    await expect(provisioner.acquire(ask("app"))).rejects.toMatchObject({ reason: "AUDIT_UNAVAILABLE" });
    expect(runtime.starts).toEqual([]);
  });

  it("ends every hold when it closes", async () => {
    const { clock, provisioner } = setUp();
    const calls = Promise.allSettled([provisioner.acquire(ask("a")), provisioner.acquire(ask("b"))]);
    await settled();
    provisioner.close();
    expect(codes(await calls)).toEqual(["SHUTTING_DOWN", "SHUTTING_DOWN"]);
    await settled();
    expect(clock.pending).toBe(0);
  });
});

describe("a start that fails", () => {
  it("gives every holder the cause at once, and later callers too, until a new attempt is due", async () => {
    const { clock, runtime, provisioner } = setUp();
    const calls = Promise.allSettled(Array.from({ length: 5 }, () => provisioner.acquire(ask("app"))));
    await settled();
    runtime.fail("made-1", "exit code 1", ["no such jar"]);
    const results = await calls;
    expect(codes(results)).toEqual(Array(5).fill("DRIVER_FAILED"));
    expect(results[0]).toMatchObject({ reason: { message: "exit code 1\nno such jar" } });

    await clock.advance(limits.failureMemoryMs - 1);
    await expect(provisioner.acquire(ask("app"))).rejects.toMatchObject({ message: "exit code 1\nno such jar" });
    expect(runtime.starts).toHaveLength(1);

    await clock.advance(1);
    const again = provisioner.acquire(ask("app"));
    await settled();
    expect(runtime.starts).toHaveLength(2);
    runtime.ready("made-2");
    expect((await again).driver.uid).toBe("made-2");
  });

  it("is remembered also when nothing of the driver is left", async () => {
    const { clock, runtime, provisioner } = setUp();
    const call = Promise.allSettled([provisioner.acquire(ask("app"))]);
    await settled();
    runtime.gone("made-1");
    expect(codes(await call)).toEqual(["DRIVER_FAILED"]);
    await expect(provisioner.acquire(ask("app"))).rejects.toMatchObject({ reason: "DRIVER_FAILED" });
    expect(runtime.starts).toHaveLength(1);
    await clock.advance(limits.failureMemoryMs);
    const again = provisioner.acquire(ask("app"));
    await settled();
    runtime.ready("made-2");
    await again;
  });

  it("is one failure for all when the order itself fails", async () => {
    const { runtime, provisioner, records } = setUp();
    runtime.startError = new GatewayError("DRIVER_FAILED", "java was not found");
    const calls = await Promise.allSettled(Array.from({ length: 5 }, () => provisioner.acquire(ask("app"))));
    expect(codes(calls)).toEqual(Array(5).fill("DRIVER_FAILED"));
    await expect(provisioner.acquire(ask("app"))).rejects.toMatchObject({ message: "java was not found" });
    expect(runtime.starts).toHaveLength(1);
    expect(records.map((record) => record.kind === "driver" && record.action)).toEqual(["start", "failed"]);
  });

  it("tells when to come back where the runtime is full, and tries again then", async () => {
    const { runtime, provisioner } = setUp();
    runtime.startError = new GatewayError("DRIVER_LIMIT", "8 drivers run already");
    await expect(provisioner.acquire(ask("app"))).rejects.toMatchObject({
      reason: "DRIVER_LIMIT",
      retryAfterMs: 3_000,
    });
    runtime.startError = undefined;
    const again = provisioner.acquire(ask("app"));
    await settled();
    runtime.ready("made-1");
    await again;
  });

  it("does not hold back the next start when a driver that was ready dies", async () => {
    const { runtime, provisioner } = setUp();
    runtime.put(aDriver());
    runtime.gone("uid-1");
    const call = provisioner.acquire(ask("app"));
    await settled();
    runtime.ready("made-1");
    expect((await call).driver.uid).toBe("made-1");
  });

  it("orders again when the runtime never reports what was ordered", async () => {
    let orders = 0;
    const { clock, provisioner } = setUp({
      runtime: {
        async start() {
          orders += 1;
        },
      },
      limits: { ...limits, holdMs: 1_000_000 },
    });
    const call = Promise.allSettled([provisioner.acquire(ask("app"))]);
    await clock.advance(60_000);
    expect(codes(await call)).toEqual(["DRIVER_STARTING"]);
    const again = Promise.allSettled([provisioner.acquire(ask("app"))]);
    await settled();
    expect(orders).toBe(2);
    provisioner.close();
    await again;
  });
});

describe("where other replicas order starts too", () => {
  it("serves those who wait here with a driver that another replica had started, without an order", async () => {
    const { runtime, provisioner } = setUp();
    runtime.put(aDriver({ phase: "starting", address: undefined }));
    const call = provisioner.acquire(ask("app"));
    await settled();
    expect(provisioner.holds()).toBe(1);
    runtime.ready("uid-1");
    expect((await call).driver.uid).toBe("uid-1");
    expect(runtime.starts).toEqual([]);
  });

  it("serves them also where its own order is refused, because the other's was taken", async () => {
    const { runtime, provisioner } = setUp({
      runtime: {
        async start() {
          runtime.put(aDriver({ phase: "starting", address: undefined }));
          await Promise.resolve();
          throw new GatewayError("DRIVER_STARTING", "the leader did not answer", { retryAfterMs: 2_000 });
        },
      },
    });
    const call = provisioner.acquire(ask("app"));
    await settled();
    expect(provisioner.holds()).toBe(1);
    runtime.ready("uid-1");
    expect((await call).driver.uid).toBe("uid-1");
  });

  it("passes on when to come back where the order is refused and nothing starts", async () => {
    const error = new GatewayError("DRIVER_STARTING", "no replica leads", { retryAfterMs: 2_000 });
    const { provisioner } = setUp({ runtime: { start: () => Promise.reject(error) } });
    await expect(provisioner.acquire(ask("app"))).rejects.toBe(error);
    expect(provisioner.holds()).toBe(0);
  });

  it("waits for the report from when the order was taken, however long that took", async () => {
    let taken: () => void = () => undefined;
    let orders = 0;
    const { clock, runtime, provisioner } = setUp({
      runtime: {
        start() {
          orders += 1;
          return new Promise((resolve) => {
            taken = resolve;
          });
        },
      },
      limits: { ...limits, holdMs: 1_000_000 },
    });
    const call = provisioner.acquire(ask("app"));
    await clock.advance(55_000);
    taken();
    await clock.advance(55_000);
    runtime.put(aDriver());
    expect(await call).toMatchObject({ driver: { uid: "uid-1" }, heldMs: 110_000 });
    expect(orders).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it("gives up an order that is never taken", async () => {
    const { clock, provisioner } = setUp({
      runtime: { start: () => new Promise(() => undefined) },
      limits: { ...limits, holdMs: 1_000_000 },
    });
    const call = Promise.allSettled([provisioner.acquire(ask("app"))]);
    await clock.advance(60_000);
    expect(codes(await call)).toEqual(["DRIVER_STARTING"]);
    expect(clock.pending).toBe(0);
  });
});

describe("a driver that is being stopped", () => {
  it("is waited for, then a new one is started", async () => {
    const { registry, runtime, provisioner } = setUp();
    runtime.put(aDriver());
    registry.markEnding("uid-1");
    const call = provisioner.acquire(ask("app"));
    await settled();
    expect(runtime.starts).toEqual([]);
    runtime.gone("uid-1", "stopped");
    await settled();
    runtime.ready("made-1");
    expect((await call).driver.uid).toBe("made-1");
  });

  it("serves on when the stop fails", async () => {
    const { registry, runtime, provisioner } = setUp();
    runtime.put(aDriver());
    registry.markEnding("uid-1");
    const call = provisioner.acquire(ask("app"));
    await settled();
    registry.unmarkEnding("uid-1");
    expect((await call).driver.uid).toBe("uid-1");
    expect(runtime.starts).toEqual([]);
  });
});
