import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leases } from "../../src/edges/kubernetes/kinds.ts";
import type { Lease } from "../../src/edges/kubernetes/objects.ts";
import { type Candidate, startCandidate } from "../support/kube/candidate.ts";
import { type KubeCluster, startKubeCluster } from "../support/kube/cluster.ts";
import { until } from "../support/until.ts";

// Replicas as processes of their own, which can be stopped and killed; told as one story.

const lease = { namespace: "default", name: "election", durationMs: 3_000, renewDeadlineMs: 2_000, retryMs: 300 };
let cluster: KubeCluster;
const candidates: Candidate[] = [];

const start = async (name: string) => {
  const candidate = await startCandidate(cluster.adminKubeconfig, name, lease);
  candidates.push(candidate);
  return candidate;
};
const holder = async () => (await cluster.admin.find<Lease>(leases, lease.namespace, lease.name))?.spec?.holderIdentity;

beforeAll(async () => {
  cluster = await startKubeCluster({ crds: [] });
}, 1_800_000);
afterAll(async () => {
  for (const candidate of candidates) await candidate.stop();
  await cluster?.stop();
}, 60_000);

describe("replicas", () => {
  let one: Candidate;
  let two: Candidate;

  it("elect one of them", async () => {
    one = await start("one");
    await one.leading();
    two = await start("two");
    await until(() => two.beliefs.at(-1)?.leader === one.identity, { deadlineMs: 20_000 });
    expect(two.leads).toBe(false);
    expect(await holder()).toBe(one.identity);
  });

  it("replace a leader that stands still, which does not believe that it leads when it goes on", async () => {
    one.signal("SIGSTOP");
    await two.leading();
    const before = one.beliefs.length;
    one.signal("SIGCONT");
    await until(() => one.beliefs.length > before);
    expect(one.beliefs[before]).toMatchObject({ leads: false, stoodStill: true });
    await until(() => one.beliefs.at(-1)?.leader === two.identity);
    expect(one.beliefs.slice(before).some(({ leads }) => leads)).toBe(false);
    expect(two.leads).toBe(true);
  });

  it("replace a leader that was killed, after the whole duration", async () => {
    two.signal("SIGKILL");
    const begun = performance.now();
    await one.leading();
    // It renewed at most one interval before it was killed.
    expect(performance.now() - begun).toBeGreaterThan(lease.durationMs - lease.retryMs - 300);
    expect(await holder()).toBe(one.identity);
  });

  it("take over at once from one that ends in order", async () => {
    const three = await start("three");
    await until(() => three.beliefs.at(-1)?.leader === one.identity, { deadlineMs: 20_000 });
    const begun = performance.now();
    await one.stop();
    await three.leading();
    expect(performance.now() - begun).toBeLessThan(lease.durationMs - lease.retryMs);
    expect(one.beliefs.at(-1)).toMatchObject({ leads: false });
  });

  it("stop leading while the API server is away, and one leads again when it is back", async () => {
    const [, , three] = candidates;
    const four = await start("four");
    await until(() => four.beliefs.at(-1)?.leader === three?.identity, { deadlineMs: 20_000 });
    await cluster.apiServer.kill9();
    await until(() => !three?.leads && !four.leads, { deadlineMs: lease.renewDeadlineMs + 2_000 });
    await cluster.apiServer.start();
    await until(() => three?.leads === true || four.leads, { deadlineMs: 30_000 });
    expect(three?.leads && four.leads).toBe(false);
  });
});
