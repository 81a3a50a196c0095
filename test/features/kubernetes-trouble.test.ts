import { mkdtempSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ensureCertificates } from "../../deploy/local/certificates.ts";
import { writePrivateFile } from "../../deploy/local/files.ts";
import { ApiError } from "../../src/edges/kubernetes/api.ts";
import { createKubeApi } from "../../src/edges/kubernetes/kube-api.ts";
import { type Clock, systemClock } from "../../src/kernel/clock.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";
import { keyOf, nameFor, order, type PaperWorld, paperWorld } from "../support/kube/paper-world.ts";
import { until } from "../support/until.ts";

// See also test/e2e/kubernetes-trouble*.test.ts, which has real clients.

describe("a watch that is given up while its answer ends", () => {
  let folder: string;
  let server: Server;
  let kubeconfigFile: string;
  let connections = 0;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "gatehouse-trouble-"));
    const files = await ensureCertificates(folder);
    const read = (path: string) => readFileSync(path);
    server = createServer({ cert: read(files.certFile), key: read(files.keyFile) }, (_, answer) => {
      // The event and the end in one piece: the connection is free again before the event is read.
      answer.end('{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n');
    });
    server.on("secureConnection", () => {
      connections += 1;
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    kubeconfigFile = join(folder, "kubeconfig");
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const cluster = { server: url, "certificate-authority-data": read(files.caFile).toString("base64") };
    const content = {
      clusters: [{ name: "test", cluster }],
      users: [{ name: "test", user: { token: "a-token" } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      "current-context": "test",
    };
    writePrivateFile(kubeconfigFile, JSON.stringify(content));
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => void server.close(resolve));
    await rm(folder, { recursive: true, force: true });
  });

  it("does no harm to the process, nor to others on the same connection", async () => {
    const api = createKubeApi({ kubeconfigFile, requestTimeoutMs: 5_000, metrics: noMetrics });
    const abandon = async () => {
      const own = new AbortController();
      const query = { resourceVersion: "1" };
      const onEvent = () => own.abort();
      return await api
        .watch({ path: "/api/v1/pods", query, signal: own.signal, onEvent })
        .catch((error: unknown) => error);
    };
    for (let round = 0; round < 20; round += 1) {
      const outcomes = await Promise.all(Array.from({ length: 20 }, abandon));
      for (const outcome of outcomes) if (outcome !== undefined) expect(outcome).toBeInstanceOf(ApiError);
      const later = await api.call<{ type: string }>({ method: "GET", path: "/api/v1/pods" });
      expect(later.type).toBe("ERROR");
    }
    expect(connections).toBeGreaterThan(0);
    api.close();
  });
});

describe("clocks that differ from the API server's", () => {
  const hour = 3_600_000;
  const shifted = (byMs: number): Clock => ({ ...systemClock, now: () => systemClock.now() + byMs });
  let here: PaperWorld;
  beforeAll(async () => {
    here = await paperWorld();
  }, 1_800_000);
  afterEach(async () => await here.clean());
  afterAll(async () => await here?.dispose());

  it.each([
    { app: "ahead", byMs: 2 * hour, ip: "127.9.1.1" },
    { app: "behind", byMs: -2 * hour, ip: "127.9.1.2" },
  ])("a replica whose clock is hours $app starts drivers, and stops them", async ({ app, byMs, ip }) => {
    const watched = await here.leading({ clock: shifted(byMs) });
    await watched.runtime.start(order(app));
    await until(async () => (await here.paper.find(nameFor(app))) !== undefined, { what: "the pod is there" });
    await here.paper.report(nameFor(app), {
      phase: "Pending",
      conditions: [
        {
          type: "PodScheduled",
          status: "False",
          reason: "Unschedulable",
          message: "0/1 nodes are available",
          lastTransitionTime: new Date().toISOString(),
        },
      ],
    });
    await here.serve(app, ip);
    const driver = await watched.ready(keyOf(app), 10_000);
    expect(watched.history.every(({ phase }) => phase !== "failed")).toBe(true);
    await watched.runtime.stop(driver, "idle");
    expect(watched.ends).toMatchObject([{ uid: driver.uid, cause: "stopped" }]);
  });

  it("a start that takes too long fails after the limit, by the time that passes here", {
    timeout: 60_000,
  }, async () => {
    const watched = await here.leading({ clock: shifted(-2 * hour), startTimeoutMs: 2_000 });
    await watched.runtime.start(order("never"));
    const failed = await watched.when(
      "it has failed",
      (w) => [...w.drivers.values()].find(({ phase }) => phase === "failed"),
      10_000,
    );
    expect(failed.failure?.summary).toContain("not ready within 2 s");
  });

  it("replicas hours apart: one leads at a time, and the other takes over when it is gone", {
    timeout: 60_000,
  }, async () => {
    const ahead = await here.leading({ clock: shifted(2 * hour) });
    const behind = await here.replica({ clock: shifted(-2 * hour) });
    const driver = await here.readyDriver(ahead, "shared", "127.9.1.3");
    await behind.ready(keyOf("shared"), 10_000);
    // Longer than the lease lasts.
    const since = performance.now();
    await until(() => {
      expect([ahead.runtime.mayStop(), behind.runtime.mayStop()]).toEqual([true, false]);
      return performance.now() - since > 4_000;
    });
    await ahead.close();
    await until(() => behind.runtime.mayStop(), { what: "the other leads", deadlineMs: 20_000 });
    expect(behind.drivers.get(driver.uid)).toMatchObject({ phase: "ready" });
    expect(behind.ends).toEqual([]);
  });
});
