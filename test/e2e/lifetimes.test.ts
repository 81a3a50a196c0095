import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processStart } from "../../deploy/local/process-identity.ts";
import { channelTo, holdQuery, readSetting, useDriver } from "../support/lifetime-clients.ts";
import { idleMs, idleProfile, type Lives, livesOf, machineMs, proofMs, quickLives } from "../support/lifetimes.ts";
import { type Stack, type StackDriver, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

// Three drivers live their lives side by side: one that is left alone, one with a long query, one that grows too old.

const graceMs = 22_000;
const ttlMs = 50_000;
const drainLimitMs = 15_000;

let stack: Stack;
let lives: Lives;

/** The driver whose age counts from its order starts first, so that it does not wait for the others' starts. */
let oldIsUp: () => void;
const afterOld = new Promise<void>((resolve) => {
  oldIsUp = resolve;
});

beforeAll(async () => {
  const old = { max_ttl_hours: ttlMs / 3_600_000, drain_limit_minutes: drainLimitMs / 60_000 };
  stack = await startStack({ config: quickLives(graceMs, { quiet: idleProfile, long: idleProfile, old }) });
  lives = livesOf(stack);
});

afterAll(async () => await stack?.stop());

/** Nothing happened before its time, and everything within its time and what this machine may add. */
function expectBetween(time: number, from: number, within: number): void {
  expect(time - from).toBeGreaterThanOrEqual(0);
  expect(time - from).toBeLessThan(within);
}

const drains = async (driver: StackDriver, deadlineMs: number): Promise<void> =>
  await until(async () => !Number.isNaN(await lives.drainOf(driver)), { deadlineMs, what: `${driver.session} drains` });

async function keptByKeepalives(driver: StackDriver): Promise<void> {
  let last = 0;
  await lives.stays(driver, 2.5 * idleMs, [], async () => {
    if (Date.now() - last < idleMs / 4) return;
    last = Date.now();
    expect((await lives.http("alice", "/v1/sessions/quiet/main/keepalive", "POST")).status).toBe(204);
    expect((await lives.http("bob", "/v1/sessions/quiet/main/keepalive", "POST")).status).toBe(403);
  });
}

/** An upload that never sends its first byte. Resolves with the time of its end. */
async function keptByASilentStream(driver: StackDriver): Promise<number> {
  const channel = await channelTo(stack, driver.session);
  const silent = channel.open("AddArtifacts");
  await until(async () => (await lives.seen(driver))?.busy.includes("stream") === true, { what: "the stream is seen" });
  await lives.stays(driver, 2.5 * idleMs, ["stream"]);
  const metrics = await stack.metrics();
  expect(metrics.value("gatehouse_streams")).toBeGreaterThanOrEqual(1);
  expect(metrics.value("gatehouse_sessions_active")).toBeGreaterThanOrEqual(1);
  const closedAt = Date.now();
  channel.close();
  await silent.done;
  return closedAt;
}

/** A call within the drain. Resolves with its time. */
async function revived(driver: StackDriver): Promise<number> {
  const channel = await channelTo(stack, driver.session);
  await drains(driver, 60_000);
  const outcome = await channel.call("Config", readSetting());
  channel.close();
  expect(outcome).toMatchObject({ code: 0 });
  await until(async () => (await lives.seen(driver))?.phase === "ready", { what: "the drain ends" });
  return await lives.lastUse(driver);
}

describe.concurrent("lifetimes", () => {
  test("a driver is kept by keepalives, by a silent stream and by a late call, and ends when it is left alone", async () => {
    await afterOld;
    const driver = await useDriver(stack, "quiet/main");
    // What the query's stream was may still be believed for a moment.
    await until(async () => (await lives.seen(driver))?.busy.length === 0);
    await keptByKeepalives(driver);
    const closedAt = await keptByASilentStream(driver);

    // Owners see their sessions, administrators all, others none.
    const mine = await lives.seen(driver);
    expect(mine).toMatchObject({ session: "quiet/main", owner: "alice@local", profile: "quiet" });
    expect(Date.parse(mine?.ttl_deadline ?? "") - Date.parse(mine?.created ?? "")).toBe(4 * 3_600_000);
    expect(await lives.sessions("bob")).toEqual([]);
    expect((await lives.sessions("carol")).map(({ driver_uid }) => driver_uid)).toContain(driver.uid);

    const revivedAt = await revived(driver);
    expectBetween(await lives.drainOf(driver), closedAt + idleMs, proofMs + machineMs);

    const end = await lives.ends(driver, "idle", idleMs + proofMs + 60_000);
    expect(await lives.lastUse(driver)).toBe(revivedAt);
    expectBetween(end.drain, revivedAt + idleMs, proofMs + machineMs);
    expectBetween(end.stop, end.drain + proofMs, machineMs);
    const actions = (await lives.events(driver)).map(({ action }) => action);
    expect(actions).toEqual(["drain", "drain", "stop", "ended"]);

    expect((await useDriver(stack, "quiet/main")).uid).not.toBe(driver.uid);
  });

  test("a driver is kept by a long query, then by the detached operation for the grace, and no longer", async () => {
    await afterOld;
    const { driver, run, worker, file } = await holdQuery(stack, "long/main");
    const messages = async (): Promise<number> =>
      (await stack.audit()).filter((each) => each.kind === "operation" && each.driver_uid === driver.uid).length;
    const before = await messages();
    await lives.stays(driver, 2.5 * idleMs, ["stream", "detached"]);
    expect(await messages(), "the query's stream is all there is").toBe(before);

    run.signal("SIGKILL");
    await run.done;
    const killedAt = Date.now();
    await until(async () => (await lives.seen(driver))?.busy.length === 1);
    await lives.stays(driver, killedAt + graceMs - 2_000 - Date.now(), ["detached"]);
    expect(processStart(worker)).toBeDefined();
    const end = await lives.ends(driver, "idle", graceMs + idleMs + 60_000);
    expectBetween(end.drain, killedAt + graceMs, machineMs);
    expect(existsSync(file), "the query was never let go").toBe(false);
    expect(processStart(worker), "what the driver started is gone, too").toBeUndefined();
  });

  test("a driver that is too old takes no new work, lets work end within the limit, and then ends whatever streams", async () => {
    const query = await holdQuery(stack, "old/main", "outlive").finally(oldIsUp);
    const { driver, run } = query;
    expect((await run.line("streaming")).error).toBeUndefined();
    const { created = "" } = (await lives.seen(driver)) ?? {};
    await drains(driver, ttlMs + 30_000);

    // New work of the client that is there, and of one that comes.
    await writeFile(`${query.file}.try`, "");
    const refusal =
      /the driver of this session has reached its maximum lifetime and takes no new work; what runs may finish, then reconnect/;
    expect((await run.line("execute")).error).toMatch(refusal);
    expect((await run.line("session")).error).toMatch(refusal);
    const newcomer = await stack.pyspark("steps.py", { user: "alice", session: "old.main", args: ["sql"] });
    expect((await newcomer.done).error("sql")).toMatch(refusal);

    await query.release();
    expect((await run.line("hold")).result).toEqual([0, 1, 2, 3]);
    const end = await lives.ends(driver, "max_ttl", drainLimitMs + 60_000);
    expectBetween(end.drain, Date.parse(created) + ttlMs, machineMs);
    expectBetween(end.stop, end.drain + drainLimitMs, machineMs);

    // The next driver has nothing that streams: it ends as soon as its query does.
    const next = await holdQuery(stack, "old/main");
    expect(next.driver.uid).not.toBe(driver.uid);
    await drains(next.driver, ttlMs + 30_000);
    await next.release();
    expect((await next.run.line("hold")).result).toEqual([0, 1, 2, 3]);
    const releasedAt = Date.now();
    const nextEnd = await lives.ends(next.driver, "max_ttl", 60_000);
    expect(nextEnd.stop).toBeLessThan(Math.min(nextEnd.drain + drainLimitMs, releasedAt + proofMs + machineMs));
  });
});

test("the metrics agree with the audit", async () => {
  await until(() => stack.drivers().length === 0, { deadlineMs: 60_000, what: "all drivers have ended" });
  const audit = await stack.audit();
  const metrics = await stack.metrics();
  for (const reason of ["idle", "max_ttl"]) {
    const stops = audit.filter((each) => each.kind === "driver" && each.action === "stop" && each.reason === reason);
    expect(stops.length).toBeGreaterThanOrEqual(2);
    expect(metrics.value("gatehouse_reaps_total", { reason })).toBe(stops.length);
  }
  await until(async () => {
    const now = await stack.metrics();
    return now.value("gatehouse_sessions_active") === 0 && now.value("gatehouse_streams") === 0;
  });
});
