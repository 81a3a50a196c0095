import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { ApiCall } from "../../src/edges/kubernetes/api.ts";
import { secrets } from "../../src/edges/kubernetes/kinds.ts";
import { annotation, label } from "../../src/edges/kubernetes/labels.ts";
import { pods } from "../support/kube/access.ts";
import { keyOf, nameFor, namespace, order, type PaperWorld, paperWorld, refusal } from "../support/kube/paper-world.ts";
import { until } from "../support/until.ts";

// Pods that nobody runs: the test reports what a kubelet would. See also the contract, which has a real Spark.

const quotas = { apiVersion: "v1", plural: "resourcequotas" } as const;

describe("orders to the Kubernetes runtime", () => {
  let here: PaperWorld;
  beforeAll(async () => {
    here = await paperWorld();
  }, 1_800_000);
  afterEach(async () => await here.clean());
  afterAll(async () => await here?.dispose());

  describe("names", () => {
    it("does not adopt what copies a driver's labels and annotations, and takes its name back", async () => {
      const watched = await here.leading();
      const real = await here.readyDriver(watched, "model", "127.9.0.1");
      const { metadata, spec } = await here.podOf("model");
      const { labels = {}, annotations = {} } = metadata;
      await watched.runtime.stop(real, "deleted");
      const squatter = await here.admin.create(pods, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: nameFor("model"), namespace, labels, annotations },
        spec: { restartPolicy: "Never", containers: spec?.containers ?? [], volumes: spec?.["volumes"] },
      });
      await here.paper.ready(nameFor("model"), "127.9.0.1");
      await watched.runtime.start(order("model"));
      const { uid } = (await here.podOf("model")).metadata;
      expect(uid).not.toBe(squatter.metadata.uid);
      expect(watched.of(keyOf("model"))).toMatchObject({ uid, phase: "starting" });
      expect(watched.history.some((driver) => driver.uid === squatter.metadata.uid)).toBe(false);
    });

    it("says what is in the way where that does not look like ours", async () => {
      const watched = await here.leading();
      await here.admin.create(pods, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: nameFor("blocked"), namespace },
        spec: { containers: [{ name: "other", image: "none" }] },
      });
      expect(await refusal(watched.runtime, order("blocked"))).toMatchObject({
        reason: "DRIVER_FAILED",
        message: `an object that Gatehouse did not make is in the way: delete Pod ${namespace}/${nameFor("blocked")}`,
      });
    });

    it("leaves a successor alone when an order about its predecessor comes late", async () => {
      let late: (() => Promise<void>) | undefined;
      const watched = await here.leading({}, (api) => ({
        ...api,
        async call<T>(call: ApiCall): Promise<T> {
          if (call.method === "DELETE") {
            const act = late;
            late = undefined;
            await act?.();
          }
          return await api.call<T>(call);
        },
      }));
      const first = await here.readyDriver(watched, "again", "127.9.0.2");
      late = async () => {
        await here.admin.delete(pods, namespace, first.name, { gracePeriodSeconds: 0 });
        await watched.when("its end is known", (w) => w.ends.find(({ uid }) => uid === first.uid));
        await watched.runtime.start(order("again"));
      };
      await watched.runtime.stop(first, "idle");
      expect(watched.of(keyOf("again"))).toMatchObject({ phase: "starting" });
      expect(watched.of(keyOf("again"))?.uid).not.toBe(first.uid);
      expect(watched.ends.map(({ uid }) => uid)).toEqual([first.uid]);
    });

    it("waits for a predecessor that is still ending", async () => {
      const watched = await here.leading();
      const first = await here.readyDriver(watched, "slow", "127.9.0.3");
      await here.admin.patch(pods, namespace, first.name, { metadata: { finalizers: ["test.dev/hold"] } });
      await here.admin.delete(pods, namespace, first.name);
      await watched.when("its end is known", (w) => w.ends.find(({ uid }) => uid === first.uid));
      const started = watched.runtime.start(order("slow"));
      await here.admin.patch(pods, namespace, first.name, { metadata: { finalizers: null } });
      await started;
      expect(watched.of(keyOf("slow"))?.uid).not.toBe(first.uid);
    });
  });

  describe("starts", () => {
    it("makes pod and Secret, and the Secret goes with the pod", async () => {
      const watched = await here.leading();
      const driver = await here.readyDriver(watched, "plain", "127.9.0.4");
      const { metadata } = await here.podOf("plain");
      const [secret] = await here.admin.list(secrets, namespace, `${label.driver}=${driver.name}`);
      expect(secret?.metadata.ownerReferences).toMatchObject([{ uid: driver.uid, kind: "Pod", name: driver.name }]);
      expect(secret?.metadata.annotations?.[annotation.seal]).toBeDefined();
      await until(async () => (await here.podOf("plain")).metadata.annotations?.[annotation.seal] !== undefined, {
        what: "a driver that was ready carries its seal itself",
      });
      expect(JSON.stringify(metadata)).not.toContain(driver.token?.reveal());
      await watched.runtime.stop(driver, "idle");
      expect(await here.admin.list(secrets, namespace, `${label.driver}=${driver.name}`)).toEqual([]);
    });

    it("tells the words of a quota", async () => {
      const watched = await here.leading();
      const metadata = { name: "none", namespace };
      await here.admin.create(quotas, {
        apiVersion: "v1",
        kind: "ResourceQuota",
        metadata,
        spec: { hard: { pods: "0" } },
      } as never);
      try {
        await until(async () => (await refusal(watched.runtime, order("much"))) !== undefined, {
          what: "the quota counts",
        });
        expect(await refusal(watched.runtime, order("more"))).toMatchObject({
          reason: "DRIVER_FAILED",
          message: expect.stringMatching(/quota is used up.*pods/),
        });
        expect(watched.of(keyOf("more"))).toBeUndefined();
      } finally {
        await here.admin.delete(quotas, namespace, "none");
      }
    });

    it("keeps to the limit, counted over orders under way too", async () => {
      const watched = await here.leading({ maxDrivers: 2 });
      const outcomes = await Promise.all(["l1", "l2", "l3", "l4"].map((app) => refusal(watched.runtime, order(app))));
      expect(outcomes.filter((error) => error === undefined)).toHaveLength(2);
      expect(
        outcomes.filter((error) => (error as { reason?: string } | undefined)?.reason === "DRIVER_LIMIT"),
      ).toHaveLength(2);
      expect(watched.drivers.size).toBe(2);
    });

    it("replaces a driver whose start failed, and says why it failed", async () => {
      const watched = await here.leading({ failureMemoryMs: 60_000 });
      await watched.runtime.start(order("crash"));
      await here.paper.report(nameFor("crash"), {
        phase: "Failed",
        containerStatuses: [
          {
            name: "spark-driver",
            ready: false,
            restartCount: 0,
            state: { terminated: { exitCode: 1 } },
            image: "none",
            imageID: "none",
          },
        ],
      });
      const failed = await watched.when("it has failed", (w) =>
        [...w.drivers.values()].find(({ phase }) => phase === "failed"),
      );
      expect(failed.failure).toMatchObject({ exitCode: 1, summary: expect.stringContaining("exit code 1") });
      await watched.runtime.start(order("crash"));
      expect(watched.of(keyOf("crash"))).toMatchObject({ phase: "starting" });
      expect(watched.ends).toMatchObject([{ uid: failed.uid, cause: "died" }]);
    });

    it("takes up what a leader left that died between its requests", async () => {
      const dying = await here.leading({}, (api) => ({
        ...api,
        async call<T>(call: ApiCall): Promise<T> {
          if (call.method !== "GET" && call.path.endsWith("/secrets")) await new Promise(() => undefined);
          return await api.call<T>(call);
        },
      }));
      void refusal(dying.runtime, order("orphan"));
      await until(async () => (await here.paper.find(nameFor("orphan"))) !== undefined, { what: "the pod is there" });
      const left = await here.podOf("orphan");
      const next = await here.replica();
      void dying.close();
      await next.runtime.start(order("orphan"));
      expect(next.of(keyOf("orphan"))?.uid).not.toBe(left.metadata.uid);
      expect(next.history.some(({ uid }) => uid === left.metadata.uid)).toBe(false);
    });
  });
});
