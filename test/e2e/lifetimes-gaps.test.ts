import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { driverOf, type HeldQuery, holdQuery, startClient, useDriver } from "../support/lifetime-clients.ts";
import { idleMs, idleProfile, type Lives, livesOf, machineMs, proofMs, quickLives } from "../support/lifetimes.ts";
import { type Stack, type StackDriver, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

// What nobody could see for a while is not held against a driver. One story, told in order: each test goes on where the
// one before left three drivers, one with a long query, one with a streaming query whose client is gone, one left alone.

/** A connection to a driver that carries nothing but Envoy's PINGs for so long has outlived what Spark puts up with. */
const silenceMs = 115_000;

/** Longer than a client needs to come back to an Envoy that was away for some seconds: it tries after 5 s, then after 18. */
const graceMs = 30_000;

let stack: Stack;
let lives: Lives;
let query: HeldQuery;
let silentSince: number;
let long: StackDriver;
let streaming: StackDriver;
let alone: StackDriver;
let connectSession: string;

beforeAll(async () => {
  const profiles = { long: idleProfile, streaming: idleProfile, alone: idleProfile };
  stack = await startStack({ config: quickLives(graceMs, profiles) });
  lives = livesOf(stack);
  query = await holdQuery(stack, "long/main");
  long = query.driver;
  silentSince = Date.now();
  const client = await startClient(stack, "streaming/main", { args: ["stream", `${stack.folder}/never`] });
  ({ session: connectSession } = (await client.line("streaming")).result as { session: string });
  streaming = driverOf(stack, "streaming/main");
  // Once the start itself is over, nothing but the query speaks for the driver.
  await until(async () => (await lives.seen(streaming))?.busy.join() === "streaming_query", { deadlineMs: 30_000 });
  client.signal("SIGKILL");
  await client.done;
  alone = await useDriver(stack, "alone/main");
});

afterAll(async () => await stack?.stop());

const keepalive = async (): Promise<void> =>
  expect((await lives.http("alice", "/v1/sessions/alone/main/keepalive", "POST")).status).toBe(204);

test("Gatehouse stands still for longer than the idle timeout: what is used lives on, only what is idle ends", async () => {
  const stoppedAt = Date.now();
  stack.gatehouse.signal("SIGSTOP");
  await delay(1.2 * idleMs);
  stack.gatehouse.signal("SIGCONT");
  const wentOnAt = Date.now();
  const end = await lives.ends(alone, "idle", idleMs + proofMs + 60_000);
  expect(await lives.lastUse(alone)).toBeLessThan(stoppedAt);
  // Its time was over already, but for two intervals nothing is believed.
  expect(end.drain).toBeGreaterThanOrEqual(wentOnAt + proofMs);
  expect(end.drain).toBeLessThan(wentOnAt + proofMs + machineMs);
  await Promise.all([
    lives.stays(long, Math.max(1.5 * idleMs, silentSince + silenceMs - Date.now()), ["stream", "detached"]),
    lives.stays(streaming, 1.5 * idleMs, ["streaming_query"]),
  ]);
  for (const driver of [long, streaming]) expect(await lives.events(driver)).toEqual([]);
});

test("Envoy ends and comes back: the client finds its query again, and the driver was not taken from it", async () => {
  await stack.envoy.kill9();
  // No stream is reported any more; a client that comes back within the grace is waited for.
  await until(async () => (await stack.metrics()).value("gatehouse_streams") === 0, { deadlineMs: 30_000 });
  await stack.envoy.start();
  await until(async () => (await lives.seen(long))?.busy.includes("stream") === true, {
    deadlineMs: 60_000,
    what: "the client is back",
  });
  await lives.stays(long, 1.5 * idleMs, ["stream", "detached"]);
  await query.release();
  expect((await query.run.line("hold")).result).toEqual([0, 1, 2, 3]);
  await query.run.done;
});

test("Gatehouse is killed and starts again: nothing ends before its time, and what is idle still ends", async () => {
  query = await holdQuery(stack, "long/main");
  expect(query.driver.uid, "the driver is the same").toBe(long.uid);
  alone = await useDriver(stack, "alone/main");
  // Used again and again, so that the driver's record lags behind.
  const useUntil = Date.now() + 0.75 * idleMs;
  for (; Date.now() < useUntil; await delay(300)) await keepalive();
  query.run.signal("SIGKILL");
  await query.run.done;
  const killedAt = Date.now();
  await keepalive();
  await stack.gatehouse.kill9();
  await stack.gatehouse.start();
  const startedAt = Date.now();

  const [end] = await Promise.all([
    lives.ends(alone, "idle", idleMs + proofMs + 60_000),
    lives.stays(long, 2.5 * idleMs, ["detached"]),
    lives.stays(streaming, 2.5 * idleMs, ["streaming_query"]),
  ]);
  const lastUse = await lives.lastUse(alone);
  expect(lastUse).toBeLessThan(startedAt);
  expect(end.drain).toBeGreaterThanOrEqual(lastUse + idleMs);
  expect(end.drain).toBeLessThan(startedAt + 1.25 * idleMs + proofMs + machineMs);

  const detached = await lives.ends(long, "idle", graceMs + 60_000);
  expect(detached.drain).toBeGreaterThanOrEqual(killedAt + graceMs);
  expect(existsSync(query.file), "the query was never let go").toBe(false);
});

test("a streaming query whose client is gone keeps its driver until somebody stops it", async () => {
  expect(driverOf(stack, "streaming/main").uid).toBe(streaming.uid);
  expect(await lives.events(streaming)).toEqual([]);
  const client = await startClient(stack, "streaming/main", { args: ["stop_streams"], connectSession });
  expect((await client.line("stopped")).result).toHaveLength(1);
  await client.done;
  const end = await lives.ends(streaming, "idle", graceMs + idleMs + proofMs + 60_000);
  expect(end.drain).toBeGreaterThanOrEqual((await lives.lastUse(streaming)) + idleMs);
});
