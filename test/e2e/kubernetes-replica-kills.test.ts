import { afterAll, beforeAll, expect, test } from "vitest";
import { mergeConfig } from "../../deploy/local/gatehouse-config.ts";
import { secrets } from "../../src/edges/kubernetes/kinds.ts";
import type { Secret } from "../../src/edges/kubernetes/objects.ts";
import { pods } from "../support/kube/access.ts";
import { type ApiAudit, apiAudit, isLeadersWrite, reigns, strayWrites } from "../support/kube/api-audit.ts";
import { type ApiDoor, type HeldRequest, startApiDoor } from "../support/kube/api-door.ts";
import { allRecords, calls, driverOf, print, runningDriver, tally } from "../support/kube/replica-calls.ts";
import { leaderAndFollower, leads, quickLease, takesOver } from "../support/kube/replica-pair.ts";
import { type KubeWorld, startKubeWorld } from "../support/kube/world.ts";
import { quickLives } from "../support/lifetimes.ts";
import type { Stack } from "../support/stack.ts";
import { until } from "../support/until.ts";

// Two replicas, each with an Envoy, a ServiceAccount and a door to the API server of its own. The leader is stopped at exact
// points of what it does; what the API server's audit log says of everybody's writes is checked at the end.

const long = { deadlineMs: 120_000 };
const leaseMs = 4_000;
const sessions = ["brief/checked", "brief/object", "brief/secret"] as const;

let audit: ApiAudit;
let world: KubeWorld;
let both: readonly [Stack, Stack];
const doors = new Map<Stack, ApiDoor>();

beforeAll(async () => {
  audit = await apiAudit("gatehouse");
  world = await startKubeWorld({ driverNamespaces: ["brief", "kept"], apiServerArgs: audit.apiServerArgs });
  const brief = { idle_timeout_minutes: 3 / 60 };
  const config = mergeConfig(quickLives(5_000, { brief, kept: {} }), quickLease);
  const replica = async (account: string): Promise<Stack> => {
    const door = await startApiDoor(world.cluster);
    const stack = await world.replica({ account, apiUrl: door.url, config });
    doors.set(stack, door);
    return stack;
  };
  both = [await replica("gatehouse-a"), await replica("gatehouse-b")];
});

afterAll(async () => {
  await world?.stop();
  for (const door of doors.values()) await door.close();
  await audit?.remove();
});

const doorOf = (stack: Stack): ApiDoor => doors.get(stack)!;
const podsThere = async () => await world.cluster.admin.list(pods);
const secretsThere = async () => await world.cluster.admin.list<Secret>(secrets, "brief");

/** Holds the first such request about that session's driver. */
function holdAbout(
  door: ApiDoor,
  session: string,
  when: "before" | "after",
  method: string,
  plural: string,
): HeldRequest {
  const name = driverOf(session);
  return door.hold(when, ({ url, body, ...asked }) => {
    const [path = "", query = ""] = url.split("?");
    if (asked.method !== method || query.includes("dryRun") || !path.includes(`/${plural}`)) return false;
    return path.includes(name) || body.includes(name);
  });
}

/** The drivers whose end is in the audit of these. */
async function endsOf(stacks: readonly Stack[]): Promise<readonly (string | null)[]> {
  const records = await allRecords(stacks);
  return records.filter(({ action }) => action === "ended").map(({ driver_uid }) => driver_uid);
}

const otherThan = (user: string): string => user.replace(/[ab]$/, (last) => (last === "a" ? "b" : "a"));
const served = { OK: 1 };

test("kill -9 of the leader while it creates: one driver each, nothing leaked, held callers are served", async () => {
  const [leader, follower] = await leaderAndFollower(both);
  const door = doorOf(leader);
  const points = [
    holdAbout(door, sessions[0], "before", "POST", "pods"),
    holdAbout(door, sessions[1], "before", "POST", "secrets"),
    holdAbout(door, sessions[2], "after", "POST", "secrets"),
  ];
  const elsewhere = sessions.map(async (session) => await calls(follower, session, 1));
  const here = sessions.map(async (session) => await calls(leader, session, 1));
  await Promise.all(points.map(async ({ there }) => await there));
  // One order had nothing made yet, one its pod, one its pod and its Secret with the seal.
  expect([(await podsThere()).length, (await secretsThere()).length]).toEqual([2, 1]);
  await leader.gatehouse.kill9();
  const killed = performance.now();

  for (const told of await Promise.all(here)) expect(tally(told)).toEqual({ [`14: ${told[0]?.message}`]: 1 });
  const seconds = await takesOver(follower, killed);
  for (const told of await Promise.all(elsewhere)) expect(tally(told)).toEqual(served);
  print(`while it created: led after ${seconds} s, served after ${Math.round(performance.now() - killed)} ms`);
  await leader.gatehouse.start();
  for (const session of sessions) expect(tally(await calls(leader, session, 1))).toEqual(served);

  const present = await podsThere();
  expect(present.map(({ metadata }) => metadata.name).toSorted()).toEqual(sessions.map(driverOf).toSorted());
  await until(async () => (await secretsThere()).length === 3, { ...long, what: "leftover Secrets are collected" });
  const owners = (await secretsThere()).map(({ metadata }) => metadata.ownerReferences?.[0]?.uid ?? "");
  expect(new Set(owners)).toEqual(new Set(present.map(({ metadata }) => metadata.uid)));
  expect(new Set(world.agent.running().map(({ uid }) => uid))).toEqual(new Set(owners));
  expect(world.agent.running()).toHaveLength(3);
});

test("kill -9 of the leader while it deletes: all of it goes, and its end is told", async () => {
  const [leader, follower] = await leaderAndFollower(both);
  const ended = (await podsThere()).map(({ metadata }) => metadata.uid);
  const door = doorOf(leader);
  const points = [
    holdAbout(door, sessions[0], "before", "DELETE", "pods"),
    holdAbout(door, sessions[1], "after", "DELETE", "pods"),
    holdAbout(door, sessions[2], "before", "DELETE", "secrets"),
  ];
  await Promise.all(points.map(async ({ there }) => await there));
  await leader.gatehouse.kill9();
  const killed = performance.now();
  const seconds = await takesOver(follower, killed);
  await until(async () => (await podsThere()).length === 0, { ...long, what: "all drivers are gone" });
  await until(async () => (await secretsThere()).length === 0, { ...long, what: "all Secrets are gone" });
  print(`while it deleted: led after ${seconds} s, all gone after ${Math.round(performance.now() - killed)} ms`);
  await until(() => world.agent.running().length === 0, long);
  await leader.gatehouse.start();
  await until(async () => new Set(await endsOf(both)).size >= ended.length, { ...long, what: "the ends are audited" });
  expect(new Set(await endsOf(both))).toEqual(new Set(ended));
  // What the dead leader had seen to the end may be told by its successor, too; nobody tells anything twice.
  for (const stack of both) expect(await endsOf([stack])).toHaveLength(new Set(await endsOf([stack])).size);
});

test("a leader that is stopped past its Lease and wakes writes nothing any more", async () => {
  const [leader, follower] = await leaderAndFollower(both);
  const held = holdAbout(doorOf(leader), "kept/woken", "after", "POST", "pods");
  const waiting = calls(follower, "kept/woken", 1);
  await held.there;
  leader.gatehouse.signal("SIGSTOP");
  const stopped = performance.now();
  held.release();
  try {
    const seconds = await takesOver(follower, stopped);
    expect(tally(await waiting)).toEqual(served);
    print(`stopped: led after ${seconds} s, served after ${Math.round(performance.now() - stopped)} ms`);
  } finally {
    leader.gatehouse.signal("SIGCONT");
  }
  await until(async () => !(await leads(leader)), long);
  for (const stack of both) expect(tally(await calls(stack, "kept/woken", 3))).toEqual({ OK: 3 });
  expect(await podsThere()).toHaveLength(1);
});

test("SIGTERM of the leader gives the Lease back; what it has told is not told again", async () => {
  const [leader, follower] = await leaderAndFollower(both);
  const { uid } = runningDriver(world, "kept/woken");
  await world.agent.kill(uid);
  await until(async () => (await endsOf(both)).includes(uid), { ...long, what: "the end is audited" });
  // What the leader saw in its last two seconds is rather told twice than never: this end has to be older.
  const seen = Date.now();
  expect(tally(await calls(follower, "kept/after", 1))).toEqual(served);
  await until(() => Date.now() - seen > 6_000, { ...long, what: "the end is no news any more" });
  const begun = performance.now();
  const stopping = leader.gatehouse.stop();
  const seconds = await takesOver(follower, begun);
  expect(await stopping).toBe(0);
  print(`SIGTERM: led after ${seconds} s`);
  expect(seconds).toBeLessThan(leaseMs / 1_000);
  await leader.gatehouse.start();
  for (const stack of both) expect(tally(await calls(stack, "kept/after", 1))).toEqual(served);
  const [told] = await calls(follower, "kept/woken", 1);
  expect(told?.message).toMatch(/driver that held this Spark session is gone/);
  // By now the new leader has looked through what it kept.
  expect(tally(await calls(leader, "kept/last", 1))).toEqual(served);
  expect((await endsOf(both)).filter((each) => each === uid)).toHaveLength(1);
});

test("nobody but the holder of the Lease ever created, sealed, drained or deleted", async () => {
  const writes = await audit.writes();
  const all = reigns(writes);
  print(`${writes.length} writes; reigns: ${all.map(({ user }) => user.slice(-1)).join(" ")}`);
  expect(all.length).toBeGreaterThanOrEqual(5);
  expect(new Set(all.map(({ user }) => user)).size).toBe(2);
  expect(new Set(writes.filter(isLeadersWrite).map(({ user }) => user)).size).toBe(2);
  expect(strayWrites(writes)).toEqual([]);
  // The same writes by the other one each time: the proof would have found them.
  const swapped = writes.filter(isLeadersWrite).map((write) => ({ ...write, user: otherThan(write.user) }));
  expect(strayWrites([...writes.filter(({ resource }) => resource === "leases"), ...swapped])).toEqual(swapped);
});
