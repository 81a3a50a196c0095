import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { kinds, secrets } from "../../src/edges/kubernetes/kinds.ts";
import { annotation, label } from "../../src/edges/kubernetes/labels.ts";
import type { DriverResource, Pod } from "../../src/edges/kubernetes/objects.ts";
import { pods } from "../support/kube/access.ts";
import { grant } from "../support/kube/access-rights.ts";
import { keyOf, nameFor, namespace, order, type PaperWorld, paperWorld, refusal } from "../support/kube/paper-world.ts";
import { podProfile } from "../support/kube/pod-profile.ts";
import { until } from "../support/until.ts";

// Pods that nobody runs: the test reports what a kubelet would. See also the contract, which has a real Spark.

describe("what the Kubernetes runtime sees", () => {
  let here: PaperWorld;
  beforeAll(async () => {
    here = await paperWorld();
  }, 1_800_000);
  afterEach(async () => await here.clean());
  afterAll(async () => await here?.dispose());

  describe("what happens to drivers", () => {
    it("follows a pod to another address", async () => {
      const watched = await here.leading();
      const driver = await here.readyDriver(watched, "moving", "127.9.0.7");
      await here.serve("moving", "127.9.0.8");
      const moved = await watched.when("it has moved", (w) => {
        const seen = w.of(keyOf("moving"));
        return seen?.address?.host === "127.9.0.8" ? seen : undefined;
      });
      expect(moved).toMatchObject({ uid: driver.uid, phase: "ready" });
    });

    it("is not ready before its port is open", async () => {
      const watched = await here.leading();
      await watched.runtime.start(order("deaf"));
      await here.paper.ready(nameFor("deaf"), "127.9.0.9");
      await until(async () => (await here.podOf("deaf")).status?.podIP === "127.9.0.9", { what: "reported" });
      await watched.runtime.record(
        { name: nameFor("deaf"), uid: "other" },
        { activity: undefined as never, draining: "keep" },
      );
      expect(watched.of(keyOf("deaf"))?.phase).toBe("starting");
      await here.listen("127.9.0.9");
      await watched.ready(keyOf("deaf"), 10_000);
    });

    it("ends with an eviction, and nothing is left", async () => {
      const watched = await here.leading();
      const driver = await here.readyDriver(watched, "evicted", "127.9.0.10");
      await here.paper.report(driver.name, {
        phase: "Failed",
        reason: "Evicted",
        message: "The node was low on memory",
      });
      const end = await watched.when("its end", (w) => w.ends.find(({ uid }) => uid === driver.uid));
      expect(end).toMatchObject({ cause: "died", summary: expect.stringContaining("low on memory") });
      await until(async () => (await here.paper.find(driver.name)) === undefined, { what: "the pod is gone" });
      await until(
        async () => (await here.admin.list(secrets, namespace, `${label.driver}=${driver.name}`)).length === 0,
        {
          what: "the Secret is gone",
        },
      );
    });

    it("forgets drivers of a namespace that is deleted", { timeout: 60_000 }, async () => {
      await here.grow("short-lived");
      const watched = await here.leading({ namespaces: [namespace, "short-lived"] });
      await watched.runtime.start(order("guest", "short-lived"));
      const driver = await watched.when("it is there", (w) => w.of(keyOf("guest", "short-lived")));
      await here.admin.deleteNamespace("short-lived");
      const end = await watched.when("its end", (w) => w.ends.find(({ uid }) => uid === driver.uid), 30_000);
      expect(end).toMatchObject({ cause: "vanished" });
      expect(await refusal(watched.runtime, order("guest", "short-lived"))).toMatchObject({ reason: "DRIVER_FAILED" });
    });

    it("keeps drivers of a namespace that it may not read any more, and stops none there", {
      timeout: 60_000,
    }, async () => {
      await here.grow("closed");
      const watched = await here.leading({ namespaces: [namespace, "closed"] });
      await watched.runtime.start(order("inside", "closed"));
      const driver = await watched.when("it is there", (w) => w.of(keyOf("inside", "closed")));
      await grant(here.admin, "gatehouse-drivers", { user: here.world.user, namespace: "closed", rules: [] });
      const again = await here.replica({ namespaces: [namespace, "closed"] });
      expect(again.firstList).toBe(0);
      expect(again.runtime.faults()).toContainEqual(
        expect.stringMatching(/^pods of namespace closed may not be read: /),
      );
      expect(watched.drivers.has(driver.uid)).toBe(true);
      await here.readyDriver(watched, "outside", "127.9.0.13");
      await here.admin.deleteNamespace("closed");
    });

    it("keeps its drivers while the API server is away, and stops none", { timeout: 90_000 }, async () => {
      const watched = await here.leading();
      const driver = await here.readyDriver(watched, "steady", "127.9.0.11");
      await here.cluster.apiServer.kill9();
      await until(() => !watched.runtime.mayStop(), { what: "it may not stop drivers" });
      await until(() => watched.runtime.faults().length > 0, { what: "it says what is wrong" });
      expect(watched.drivers.get(driver.uid)).toMatchObject({ phase: "ready" });
      await here.cluster.apiServer.start();
      await until(() => watched.runtime.mayStop(), { what: "it leads again", deadlineMs: 60_000 });
      expect(watched.drivers.get(driver.uid)).toMatchObject({ phase: "ready" });
      expect(watched.ends).toEqual([]);
    });
  });

  describe("resources of operators", () => {
    const profiles = {
      default: { ...podProfile, kind: "spark-connect" as const },
    };
    const spec = kinds["spark-connect"];

    it("are followed to their pod, and go with all that belongs to them", { timeout: 60_000 }, async () => {
      const watched = await here.leading({ profiles });
      await watched.runtime.start(order("made"));
      const name = nameFor("made");
      const main = await here.admin.get<DriverResource>(spec, namespace, name);
      expect(watched.of(keyOf("made"))).toMatchObject({ uid: main.metadata.uid, phase: "starting" });
      const activity = { v: 1, lastActive: 1, streamingQueries: {}, detached: [], connectSessions: [] } as const;
      const early = { activity, draining: { reason: "deleted", since: 1 } } as const;
      await expect(watched.runtime.record({ name, uid: main.metadata.uid }, early)).rejects.toMatchObject({
        reason: "NOT_READY",
      });
      expect((await here.admin.get(spec, namespace, name)).metadata.annotations).toEqual(main.metadata.annotations);
      const owner = { apiVersion: spec.apiVersion, kind: spec.kind, name, uid: main.metadata.uid, controller: true };
      const labels = { [label.installation]: here.world.options.installation, [label.driver]: name };
      await here.admin.create(pods, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: `${name}-server`, namespace, labels, ownerReferences: [owner] },
        spec: { containers: [{ name: "spark-driver", image: "none" }] },
      });
      await here.admin.patch(spec, namespace, name, { status: { server: { podName: `${name}-server` } } }, "status");
      await here.listen("127.9.0.14");
      await here.paper.ready(`${name}-server`, "127.9.0.14");
      const driver = await watched.ready(keyOf("made"), 10_000);
      expect(driver.address).toEqual({ host: "127.9.0.14", port: here.port });
      await until(
        async () => (await here.admin.get(spec, namespace, name)).metadata.annotations?.[annotation.pod] !== undefined,
        { what: "its pod is noted" },
      );
      await watched.runtime.stop(driver, "max_ttl");
      expect(watched.ends).toMatchObject([{ uid: driver.uid, cause: "stopped", summary: "stopped: max_ttl" }]);
      for (const of of [pods, secrets, spec]) {
        expect(await here.admin.list(of, namespace, `${label.driver}=${name}`)).toEqual([]);
      }
    });

    it("end when their pod is replaced, and are cleaned up", { timeout: 60_000 }, async () => {
      const watched = await here.leading({ profiles });
      await watched.runtime.start(order("made"));
      const name = nameFor("made");
      const { metadata } = await here.admin.get<DriverResource>(spec, namespace, name);
      const owner = { apiVersion: spec.apiVersion, kind: spec.kind, name, uid: metadata.uid, controller: true };
      const labels = { [label.installation]: here.world.options.installation, [label.driver]: name };
      const pod = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: `${name}-server`, namespace, labels, ownerReferences: [owner] },
        spec: { containers: [{ name: "spark-driver", image: "none" }] },
      };
      await here.admin.create(pods, pod);
      await here.admin.patch(spec, namespace, name, { status: { server: { podName: `${name}-server` } } }, "status");
      await here.listen("127.9.0.15");
      await here.paper.ready(`${name}-server`, "127.9.0.15");
      const driver = await watched.ready(keyOf("made"), 10_000);
      await here.admin.delete(pods, namespace, `${name}-server`, { gracePeriodSeconds: 0 });
      const end = await watched.when("its end", (w) => w.ends.find(({ uid }) => uid === driver.uid));
      expect(end).toMatchObject({ cause: "died", summary: expect.stringMatching(/pod/) });
      await here.admin.gone(spec, namespace, name);
    });
  });

  describe("drivers that others started", () => {
    const pod = (name: string, secret: string): Pod => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name,
        namespace,
        labels: { [label.discover]: "true" },
        annotations: { [annotation.owner]: "bob@local", [annotation.tokenSecret]: secret },
      },
      spec: { containers: [{ name: "spark-driver", image: "none" }] },
    });

    it("are served, and nothing is started beside them", async () => {
      const token = randomBytes(24).toString("base64url");
      await here.admin.apply(secrets, {
        apiVersion: "v1",
        kind: "Secret",
        metadata: {
          name: "theirs",
          namespace,
          labels: { [label.installation]: here.world.options.installation },
          annotations: { [annotation.owner]: "bob@local" },
        },
        stringData: { token },
      } as never);
      const watched = await here.leading();
      const { metadata } = await here.admin.create(pods, pod("found", "theirs"));
      await here.listen("127.9.0.12");
      await here.paper.ready("found", "127.9.0.12");
      const driver = await watched.ready(keyOf("found"), 10_000);
      expect(driver).toMatchObject({ uid: metadata.uid, name: "found", owner: "bob@local" });
      expect(driver.token?.reveal()).toBe(token);
      await watched.runtime.start(order("found"));
      expect(watched.drivers.size).toBe(1);
      expect(await here.paper.find(nameFor("found"))).toBeUndefined();
    });

    it("give way where one of ours is there, and come back after it", async () => {
      const watched = await here.leading();
      const own = await here.readyDriver(watched, "rival", "127.9.0.16");
      await here.admin.create(pods, pod("rival", "theirs"));
      await here.paper.ready("rival", "127.9.0.16");
      await here.admin.patch(pods, namespace, "rival", { metadata: { labels: { seen: "yes" } } });
      await until(() => here.world.log.some(({ fields }) => fields?.["driver"] === "rival"), { what: "it is noted" });
      expect([...watched.drivers.keys()]).toEqual([own.uid]);
      await watched.runtime.stop(own, "idle");
      const driver = await watched.ready(keyOf("rival"), 10_000);
      expect(driver).toMatchObject({ name: "rival", owner: "bob@local" });
    });
  });
});
