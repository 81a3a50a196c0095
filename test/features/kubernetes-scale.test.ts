import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DriverSink } from "../../src/drivers/runtime.ts";
import { createPersistActivity, unrecordedMs } from "../../src/flows/persist-activity.ts";
import { createRecordActivity } from "../../src/flows/record-activity.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";
import { createActivity } from "../../src/sessions/activity.ts";
import type { ActivityRecord } from "../../src/sessions/activity-record.ts";
import { activityLimits } from "../../src/sessions/activity-state.ts";
import { countingMetrics } from "../support/counting-metrics.ts";
import { type RunningEnvoy, startEnvoy } from "../support/envoy.ts";
import { type EnvoyWorld, startEnvoyWorld } from "../support/envoy-world.ts";
import { type ScaleWorld, scaleWorld } from "../support/kube/scale-world.ts";
import { recordingLog } from "../support/recording-log.ts";
import { testTools } from "../support/tools.ts";
import { until } from "../support/until.ts";

// A real API server and a real Envoy, 1,000 pods that nobody runs. Prints what it measured, one line.

const count = 1_000;
const aSecond = 100;
/** How long pods change: 10 s, and a minute where somebody wants to know. */
const seconds = Number(process.env["GATEHOUSE_SCALE_SECONDS"] ?? 10);
const restSeconds = Math.min(10, seconds / 2);
const requests = "gatehouse_kubernetes_requests_total";

describe(`${count} drivers`, () => {
  const metrics = countingMetrics();
  const over = new AbortController();
  const said: string[] = [];
  let here: ScaleWorld;
  let envoyWorld: EnvoyWorld;
  let envoy: RunningEnvoy;
  let close = async () => {};
  let runtime: ReturnType<ScaleWorld["world"]["open"]>;

  beforeAll(async () => {
    const begun = performance.now();
    here = await scaleWorld(count);
    said.push(`made in ${inSeconds(begun)} s`);
    envoyWorld = await startEnvoyWorld();
    await envoyWorld.startAds();
    const { envoy: program } = await testTools();
    envoy = await startEnvoy({ envoy: program, bootstrap: envoyWorld.bootstrap, folder: envoyWorld.folder });
    const lease = { ...here.world.options.lease, durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };
    runtime = here.world.open({ metrics, lease });
  }, 1_800_000);

  afterAll(async () => {
    process.stdout.write(`${count} drivers: ${said.join("; ")}\n`);
    over.abort();
    await close();
    await runtime?.close();
    await envoy?.stop();
    await envoyWorld?.close();
    await here?.stop();
  });

  it("are all known within 5 s of the start", async () => {
    const { sink } = envoyWorld.registry;
    const begun = performance.now();
    let listed = 0;
    const watching: DriverSink = { ...sink, synced: () => (sink.synced(), (listed = performance.now() - begun)) };
    void runtime.watch(watching, over.signal);
    await until(() => listed > 0, { what: "the first list", deadlineMs: 30_000 });
    const ready = envoyWorld.registry.all().filter(({ phase, token }) => phase === "ready" && token !== undefined);
    said.push(`listed in ${(listed / 1_000).toFixed(2)} s, with ${total()} requests`);
    expect(ready).toHaveLength(count);
    expect(listed).toBeLessThan(5_000);
  });

  it("are all in Envoy, and each is noted once", async () => {
    const begun = performance.now();
    await until(async () => isCurrent(await shownByEnvoy()), { what: "Envoy has them", deadlineMs: 30_000 });
    said.push(`in Envoy ${inSeconds(begun)} s later`);
    await until(() => noted() >= count, { what: "the first pods are noted", deadlineMs: 60_000 });
    said.push(`noted in ${inSeconds(begun)} s`);
  });

  it("cost next to nothing at rest", async () => {
    const before = total();
    await passed(restSeconds);
    const rate = (total() - before) / restSeconds;
    said.push(`${rate.toFixed(1)} requests/s at rest`);
    expect(rate).toBeLessThan(3);
    expect(noted()).toBe(count);
  });

  it(`are followed by Envoy while ${aSecond} pods change every second`, async () => {
    const before = total();
    const events = metrics.value("gatehouse_kubernetes_events_total");
    const begun = performance.now();
    const churning = here.churn(aSecond, seconds);
    const cpuBefore = process.cpuUsage();
    let lag = 0;
    let moved: number | undefined;
    while (moved === undefined) {
      lag = Math.max(lag, here.lagOf((await shownByEnvoy()).values()));
      moved = await Promise.race([churning, passed(0.5)]);
    }
    const cpu = process.cpuUsage(cpuBefore);
    const took = (performance.now() - begun) / 1_000;
    const settled = performance.now();
    await until(async () => isCurrent(await shownByEnvoy()), { what: "the last state in Envoy", deadlineMs: 30_000 });
    said.push(
      `${Math.round(moved / took)} changes/s for ${Math.round(took)} s`,
      `Envoy at most ${(lag / 1_000).toFixed(1)} s behind, complete ${inSeconds(settled)} s after the last`,
      `${((total() - before) / took).toFixed(1)} requests/s meanwhile`,
      `${Math.round((cpu.user + cpu.system) / took / 10_000)} % of a core, with the test's own`,
    );
    expect(metrics.value("gatehouse_kubernetes_events_total") - events).toBeGreaterThanOrEqual(moved);
    expect((total() - before) / took).toBeLessThan(3);
    expect(envoyWorld.metrics.value("gatehouse_xds_nacks_total")).toBe(0);
  });

  it("are never listed anew", () => {
    expect(metrics.value("gatehouse_kubernetes_relists_total")).toBe(0);
    expect(metrics.value(requests, { verb: "list", resource: "pods" })).toBe(1 + count / 500);
  });

  it("are written to sparingly, and no annotation grows without bound", async () => {
    const idleTimeoutMs = 24_000;
    const { registry } = envoyWorld;
    const clock = systemClock;
    const options = { registry, runtime, clock, idleTimeoutMs: () => idleTimeoutMs };
    const activity = createActivity({ intervalMs: 30_000, detachedGraceMs: 300_000 }, clock.now());
    const writer = createPersistActivity({
      ...options,
      activity,
      log: recordingLog([]),
      metrics: noMetrics,
      maxWritesPerSecond: 10_000,
    });
    const recording = createRecordActivity({ ...options, activity, writer });
    close = async () => {
      recording.close();
      await writer.close();
    };
    const busy = here.drivers.slice(0, 100);
    const before = writes();
    const begun = performance.now();
    while (performance.now() - begun < 9_000) {
      for (const { uid } of busy) {
        recording.stream({ uid, streamKey: uid, decisionId: uid, method: "ExecutePlan", kind: "periodic" });
      }
      await passed(0.2);
    }
    const used = writes() - before;
    // One write at once, for what is overdue, and one in each quarter of the idle timeout.
    expect(used).toBeLessThanOrEqual(busy.length * (1 + Math.ceil(9_500 / unrecordedMs(idleTimeoutMs))));
    said.push(
      `100 drivers in use: ${used} writes in 9 s at an idle timeout of ${idleTimeoutMs / 1_000} s (at 30 min: at most ${Math.ceil(
        (busy.length * 60_000) / unrecordedMs(1_800_000),
      )} a minute)`,
    );
    const [one] = busy;
    if (one === undefined) throw new Error("there is no driver");
    const now = clock.now();
    activity.restore(one.uid, largest(now), { at: now, unrecordedMs: 0 });
    await writer.setDraining(one.uid, undefined);
    const text = (await here.activityOf(one)) ?? "";
    said.push(`the largest annotation ${text.length} bytes`);
    expect(text.length).toBeGreaterThan(10_000);
    expect(text.length).toBeLessThan(65_536);
  });

  const total = () => metrics.value(requests);
  const noted = () => metrics.value(requests, { verb: "patch", resource: "pods", code: "200" });
  const writes = () => metrics.value(requests, { verb: "patch", resource: "pods" });

  /** Cluster to address. */
  async function shownByEnvoy(): Promise<ReadonlyMap<string, string>> {
    const text = await envoy.admin("/clusters");
    return new Map(
      [...text.matchAll(/^driver\|[^|]+\|([^:]+)::([\d.]+):\d+::cx_active/gm)].map(([, a = "", b = ""]) => [a, b]),
    );
  }

  function isCurrent(shown: ReadonlyMap<string, string>): boolean {
    return shown.size === count && here.drivers.every(({ uid, ip }) => shown.get(uid) === ip);
  }
});

const inSeconds = (begun: number): string => ((performance.now() - begun) / 1_000).toFixed(1);

const passed = async (s: number): Promise<undefined> =>
  await new Promise((resolve) => {
    setTimeout(() => resolve(undefined), s * 1_000);
  });

/** More of everything than is kept. */
function largest(now: number): ActivityRecord {
  const id = (kind: number, i: number) => `${kind}0000000-0000-4000-8000-${String(i).padStart(12, "0")}`;
  const many = (limit: number) => Array.from({ length: 2 * limit }, (_, i) => i);
  return {
    v: 1,
    lastActive: now,
    recordedAt: now,
    streamingQueries: Object.fromEntries(many(activityLimits.streamingSessions).map((i) => [id(1, i), 3])),
    detached: many(activityLimits.operations).map((i) => ({
      operationId: id(2, i),
      connectSession: id(3, i),
      lastAttached: now - i,
    })),
    connectSessions: many(activityLimits.connectSessions).map((i) => id(4, i)),
  };
}
