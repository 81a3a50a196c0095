import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { keyOf, order, type PaperWorld, paperWorld, refusal } from "../support/kube/paper-world.ts";
import { until } from "../support/until.ts";

// Pods that nobody runs: the test reports what a kubelet would. See also the contract, which has a real Spark.

describe("replicas of the Kubernetes runtime", () => {
  let here: PaperWorld;
  beforeAll(async () => {
    here = await paperWorld();
  }, 1_800_000);
  afterEach(async () => await here.clean());
  afterAll(async () => await here?.dispose());

  describe("several replicas", () => {
    it("have one writer; a follower's start goes through it, and all see the same", async () => {
      const one = await here.leading();
      const two = await here.replica();
      expect([one.runtime.mayStop(), two.runtime.mayStop()]).toEqual([true, false]);
      await two.runtime.start(order("shared"));
      await here.serve("shared", "127.9.0.5");
      const [first, second] = [await one.ready(keyOf("shared"), 10_000), await two.ready(keyOf("shared"), 10_000)];
      expect({ ...second, token: second.token?.reveal() }).toEqual({ ...first, token: first.token?.reveal() });
      expect(await two.runtime.stop(second, "idle").catch((error: unknown) => error)).toMatchObject({
        reason: "NOT_READY",
      });
      await one.close();
      await until(() => two.runtime.mayStop(), { what: "the other leads" });
      await two.runtime.stop(second, "idle");
      expect(two.ends).toMatchObject([{ uid: second.uid, cause: "stopped" }]);
    });

    it("tell a follower why the leader refused", async () => {
      await here.leading();
      const two = await here.replica();
      expect(await refusal(two.runtime, { ...order("x"), profile: "nope" })).toMatchObject({
        reason: "DRIVER_FAILED",
        message: 'there is no profile "nope"',
      });
    });

    it("record without taking back what the other saw", async () => {
      const one = await here.leading();
      const two = await here.replica();
      await here.readyDriver(one, "busy", "127.9.0.6");
      const driver = await two.ready(keyOf("busy"), 10_000);
      const activity = (lastActive: number, session: string) => ({
        v: 1 as const,
        lastActive,
        streamingQueries: { [session]: 1 },
        detached: [],
        connectSessions: [session],
      });
      await Promise.all([
        one.runtime.record(driver, { activity: activity(5, "a"), draining: { reason: "idle", since: 7 } }),
        two.runtime.record(driver, { activity: activity(9, "b"), draining: "keep" }),
        two.runtime.record(driver, { activity: activity(8, "c"), draining: "keep" }),
      ]);
      const all = { lastActive: 9, streamingQueries: { a: 1, b: 1, c: 1 } };
      for (const watched of [one, two]) {
        const merged = await watched.when("all of it is there", (w) => {
          const seen = w.of(keyOf("busy"));
          return Object.keys(seen?.recorded?.streamingQueries ?? {}).length === 3 ? seen : undefined;
        });
        expect(merged).toMatchObject({ phase: "draining", draining: { reason: "idle", since: 7 }, recorded: all });
      }
      expect(
        await two.runtime
          .record(driver, { activity: activity(9, "b"), draining: undefined })
          .catch((error: unknown) => error),
      ).toMatchObject({ reason: "NOT_READY" });
    });
  });
});
