import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Driver } from "../../src/drivers/driver.ts";
import type { DriverRuntime, StartRequest } from "../../src/drivers/runtime.ts";
import type { SessionKey } from "../../src/sessions/session-key.ts";
import { askSettings } from "../support/connect-call.ts";
import { until } from "../support/until.ts";
import { type Watched, watchRuntime } from "../support/watched.ts";

/** One world of drivers for one run of the contract. */
export interface RuntimeHarness {
  /** A new runtime on this world; the one before is closed. It keeps drivers when it closes. */
  open(): DriverRuntime;
  readonly cluster: string;
  /** A profile whose drivers start. */
  readonly profile: string;
  /** One whose drivers do not, and what the summary of the failure must say. */
  readonly brokenProfile: { readonly name: string; readonly cause: RegExp };
  /** How long a failed driver stays reported. ms */
  readonly failureMemoryMs: number;
  /** How soon a driver's death must be noticed. ms */
  readonly noticeMs: number;
  readonly startMs: number;
  /** Ends the driver from outside, without any grace. */
  kill(driver: Driver): Promise<void>;
  /** What is left of a driver: processes, pods, files other than logs. Empty when it is gone. */
  leftovers(driver: Driver): Promise<readonly string[]>;
  /** Ends everything that this world still holds. */
  dispose(): Promise<void>;
}

/**
 * What every driver runtime must do, told as one story so that few drivers have to start: each test goes on from where the
 * one before it stopped.
 */
export function driverRuntimeContract(name: string, makeHarness: () => Promise<RuntimeHarness>): void {
  describe(`driver runtime contract: ${name}`, () => {
    let harness: RuntimeHarness;
    let watched: Watched;
    let one: Awaited<ReturnType<Watched["ready"]>>;
    let two: typeof one;
    const key = (app: string): SessionKey => ({ cluster: harness.cluster, namespace: "contract", app });
    const order = (app: string, profile = harness.profile): StartRequest => ({
      key: key(app),
      owner: "alice@local",
      ownerUser: "alice",
      sharedWithGroups: ["team"],
      profile,
    });
    const open = async () => {
      watched = watchRuntime(harness.open());
      await watched.when("the first list is complete", (w) => w.firstList, 30_000);
    };

    beforeAll(async () => {
      harness = await makeHarness();
      await open();
    }, 240_000);
    afterAll(async () => {
      await watched?.close();
      await harness?.dispose();
    }, 120_000);

    it("reports an empty world as complete", () => {
      expect(watched.firstList).toBe(0);
    });

    it("starts one driver for many orders at once, and reports it before it is ready", {
      timeout: 240_000,
    }, async () => {
      await Promise.all(Array.from({ length: 5 }, async () => await watched.runtime.start(order("one"))));
      await watched.runtime.start(order("two"));
      expect(watched.of(key("one"))).toMatchObject({ phase: "starting", address: undefined, owner: "alice@local" });
      one = await watched.ready(key("one"), harness.startMs);
      two = await watched.ready(key("two"), harness.startMs);
      await watched.runtime.start(order("one"));
      expect(watched.drivers.size).toBe(2);
      expect(new Set(watched.history.map((driver) => driver.uid)).size).toBe(2);
    });

    it("gives each driver its own name, incarnation, address and token", () => {
      expect(one.name).toMatch(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/);
      for (const of of ["name", "uid"] as const) expect(one[of]).not.toBe(two[of]);
      expect(one.address.host).not.toBe(two.address.host);
      expect(one.token?.reveal().length).toBeGreaterThanOrEqual(43);
      expect(one.token?.equals(two.token!)).toBe(false);
      expect(one).toMatchObject({ phase: "ready", profile: harness.profile, sharedWithGroups: ["team"] });
    });

    it("says ready when a client succeeds, with the driver's own token only", { timeout: 60_000 }, async () => {
      expect(await askSettings(one.address, one.token?.reveal())).toBe(status.OK);
      expect(await askSettings(one.address, two.token?.reveal())).toBe(status.UNAUTHENTICATED);
      expect(await askSettings(one.address, undefined)).toBe(status.UNAUTHENTICATED);
    });

    it("records activity and draining on the driver, and reports them", async () => {
      const activity = {
        v: 1,
        lastActive: 1_700_000_000_000,
        streamingQueries: { session: 2 },
        detached: [{ operationId: "operation", connectSession: "session", lastAttached: 1_700_000_000_001 }],
        connectSessions: ["session"],
      } as const;
      await watched.runtime.record(one, { activity, draining: { reason: "max_ttl", since: 5 } });
      expect(watched.of(key("one"))).toMatchObject({
        uid: one.uid,
        phase: "draining",
        address: one.address,
        draining: { reason: "max_ttl", since: 5 },
        recorded: activity,
      });
    });

    it("does nothing on an order about another incarnation", { timeout: 60_000 }, async () => {
      const other = { name: one.name, uid: two.uid };
      const before = watched.history.length;
      await watched.runtime.stop(other, "deleted");
      await watched.runtime.record(other, { activity: watched.of(key("one"))!.recorded!, draining: undefined });
      expect(watched.history.length).toBe(before);
      expect(watched.of(key("one"))?.phase).toBe("draining");
      expect(await askSettings(one.address, one.token?.reveal())).toBe(status.OK);
    });

    it("finds its drivers again after a restart, with all that was recorded", { timeout: 60_000 }, async () => {
      const before = watched.of(key("one"));
      await watched.close();
      await open();
      expect(watched.firstList).toBe(2);
      const after = watched.of(key("one"));
      expect({ ...after, token: after?.token?.reveal() }).toEqual({ ...before, token: one.token?.reveal() });
      expect(watched.of(key("two"))).toMatchObject({ uid: two.uid, address: two.address, phase: "ready" });
      await watched.runtime.start(order("two"));
      expect(watched.of(key("two"))?.uid).toBe(two.uid);
    });

    it("notices when a driver dies, and cleans up after it", { timeout: 60_000 }, async () => {
      const begun = performance.now();
      await harness.kill(two);
      const end = await watched.when("the death is reported", (w) => w.ends.find(({ uid }) => uid === two.uid));
      expect(performance.now() - begun).toBeLessThan(harness.noticeMs);
      expect(end).toMatchObject({ cause: "died", key: key("two") });
      await until(async () => (await harness.leftovers(two)).length === 0, {
        what: "nothing is left of the dead driver",
      });
    });

    it("stops a driver, and is done when nothing is left of it", { timeout: 60_000 }, async () => {
      await Promise.all([watched.runtime.stop(one, "idle"), watched.runtime.stop(one, "idle")]);
      expect(watched.ends.find(({ uid }) => uid === one.uid)).toMatchObject({ cause: "stopped" });
      expect(watched.ends.filter(({ uid }) => uid === one.uid)).toHaveLength(1);
      expect(await harness.leftovers(one)).toEqual([]);
      await watched.runtime.stop(one, "idle");
    });

    it("tells the cause of a failed start, remembers it a while, then forgets it", { timeout: 240_000 }, async () => {
      await watched.runtime.start(order("broken", harness.brokenProfile.name));
      const failed = await watched.when(
        "the start has failed",
        (w) => [...w.drivers.values()].find(({ phase }) => phase === "failed"),
        harness.startMs,
      );
      expect(failed.failure?.summary).toMatch(harness.brokenProfile.cause);
      expect(failed.failure?.summary).not.toContain("\n");
      expect(failed.failure?.logTail.length).toBeLessThanOrEqual(20);
      expect(JSON.stringify(failed.failure)).not.toContain(failed.token?.reveal());
      expect(failed.address).toBeUndefined();
      await watched.when(
        "it is forgotten",
        (w) => w.ends.find(({ uid }) => uid === failed.uid),
        harness.failureMemoryMs * 3,
      );
      expect(await harness.leftovers(failed)).toEqual([]);
      expect(watched.drivers.size).toBe(0);
    });
  });
}
