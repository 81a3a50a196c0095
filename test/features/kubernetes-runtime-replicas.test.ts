import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { secrets } from "../../src/edges/kubernetes/kinds.ts";
import { annotation, label } from "../../src/edges/kubernetes/labels.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { pods } from "../support/kube/access.ts";
import { keyOf, nameFor, namespace, order, type PaperWorld, paperWorld, refusal } from "../support/kube/paper-world.ts";
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

    it("know what was ready before them, also where it does not answer just now", async () => {
      const one = await here.leading();
      const driver = await here.readyDriver(one, "known", "127.9.0.20");
      await until(async () => (await here.podOf("known")).metadata.annotations?.[annotation.pod] === driver.uid, {
        what: "its pod is noted",
      });
      await one.close();
      await here.silence("127.9.0.20");
      await here.paper.report(driver.name, { conditions: [{ type: "Ready", status: "False" }] });
      const two = await here.replica();
      expect(two.of(keyOf("known"))).toMatchObject({ uid: driver.uid, phase: "ready", address: driver.address });
    });

    it("delete what nobody completed, and Secrets whose driver is gone", async () => {
      const pod = {
        apiVersion: "v1",
        kind: "Pod",
        spec: { containers: [{ name: "spark-driver", image: "none" }] },
      };
      const labels = { [label.installation]: here.world.options.installation, [label.driver]: nameFor("left") };
      const left = await here.admin.create(pods, { ...pod, metadata: { name: nameFor("left"), namespace, labels } });
      const other = await here.admin.create(pods, { ...pod, metadata: { name: nameFor("other"), namespace } });
      const owner = { apiVersion: "v1", kind: "Pod", name: nameFor("gone"), uid: left.metadata.uid };
      await here.cluster.controllerManager.kill9();
      const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "left", namespace, labels } };
      await here.admin.create(secrets, { ...secret, metadata: { ...secret.metadata, ownerReferences: [owner] } });
      await here.admin.create(secrets, { ...secret, metadata: { ...secret.metadata, name: "kept" } });
      try {
        const young = await here.leading();
        await young.runtime.start(order("young"));
        expect(await here.paper.find(nameFor("left"))).toBeDefined();
        await young.close();
        const later = await here.leading({
          clock: { ...systemClock, now: () => Date.now() + 120_000 },
          startTimeoutMs: 600_000,
        });
        await here.admin.gone(pods, namespace, nameFor("left"));
        await here.admin.gone(secrets, namespace, "left");
        expect(later.of(keyOf("young"))?.phase).toBeDefined();
        expect((await here.paper.find(nameFor("other")))?.metadata.uid).toBe(other.metadata.uid);
        expect(await here.admin.find(secrets, namespace, "kept")).toBeDefined();
      } finally {
        await here.cluster.controllerManager.start();
      }
    });

    it("stop leading where the API server hangs, and keep their drivers", async () => {
      const watched = await here.leading();
      const driver = await here.readyDriver(watched, "hung", "127.9.0.21");
      here.cluster.apiServer.pause();
      try {
        await until(() => !watched.runtime.mayStop(), { what: "it leads no more" });
        await watched.runtime.stop(driver, "idle").catch((error: unknown) => {
          expect(error).toMatchObject({ reason: "NOT_READY" });
        });
        expect(watched.drivers.get(driver.uid)?.phase).toBe("ready");
      } finally {
        here.cluster.apiServer.resume();
      }
      await until(() => watched.runtime.mayStop(), { what: "it leads again", deadlineMs: 30_000 });
    });
  });
});
