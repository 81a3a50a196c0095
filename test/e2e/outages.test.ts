import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { type ConfigTree, mergeConfig } from "../../deploy/local/gatehouse-config.ts";
import { repositoryRoot } from "../../deploy/local/layout.ts";
import { plainEnvironment } from "../../deploy/local/parts.ts";
import { freePort } from "../../deploy/local/ports.ts";
import { liveClient } from "../support/live-client.ts";
import { type RawChannel, rawChannel } from "../support/raw-call.ts";
import { field, frame } from "../support/spark-wire.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

// What needs no driver. Kills around a driver that works are in kills.test.ts.

let stack: Stack;
let anybody: RawChannel;

beforeAll(async () => {
  stack = await startStack({ config: { identity: { jwks: { cooldown_seconds: 4 } } } });
  anybody = door({});
});

afterAll(async () => {
  anybody?.close();
  await stack?.stop();
});

const unavailable = 14;
const unauthenticated = 16;
const config = frame(field(1, "5eed5eed-0001-4002-8003-000000000001"));
const door = (headers: Readonly<Record<string, string>>): RawChannel =>
  rawChannel({ url: `https://localhost:${stack.ports.envoy}`, caFile: stack.caFile, headers });
/** Without a token: Gatehouse itself answers UNAUTHENTICATED. */
const knock = async () => await anybody.call("Config", config);

/** Runs until it ends by itself. */
const secondGatehouse = async (over: ConfigTree): Promise<{ code: number | null; said: string }> => {
  const file = join(stack.folder, "second.yaml");
  const first = parse(readFileSync(join(stack.folder, "gatehouse.yaml"), "utf8")) as ConfigTree;
  writeFileSync(file, stringify(mergeConfig(first, over)), { mode: 0o600 });
  const child = spawn(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), join(repositoryRoot, "src/cli.ts"), "serve", "--config", file],
    { cwd: repositoryRoot, env: plainEnvironment(), stdio: ["ignore", "ignore", "pipe"], timeout: 60_000 },
  );
  const said: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => said.push(text));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, said: said.join("") };
};

describe("a second Gatehouse refuses in one line, and the first serves on", () => {
  const otherPlaces = async (name: string): Promise<{ readonly [key: string]: ConfigTree }> => ({
    http: { port: await freePort() },
    control: { socket_folder: join(stack.folder, `run-${name}`) },
    audit: { file: join(stack.folder, `audit-${name}.jsonl`) },
    runtime: { local: { folder: join(stack.folder, `drivers-${name}`) } },
  });

  test.each([
    ["of the same configuration", undefined, / in use/],
    ["on the same state folder", "runtime", /drivers is in use by another Gatehouse \(process \d+\)\n$/],
    ["on the same sockets", "control", /check\.sock is in use: another Gatehouse is listening there\n$/],
    ["on the same HTTP port", "http", /^gatehouse: http: cannot listen on 127\.0\.0\.1:\d+: it is in use\n$/],
  ] as const)("%s", async (_what, shared, expected) => {
    const { [shared ?? "http"]: _, ...others } = await otherPlaces(String(shared));
    const { code, said } = await secondGatehouse(shared === undefined ? {} : others);
    expect(said.split("\n")).toHaveLength(2);
    expect(said).toMatch(/^gatehouse: /);
    expect(said).toMatch(expected);
    expect(code).toBe(1);
    expect(await knock()).toMatchObject({ code: unauthenticated });
  });
});

test("a Gatehouse that hangs: calls end UNAVAILABLE within 8 s, and it serves again when it goes on", async () => {
  expect(await knock()).toMatchObject({ code: unauthenticated });
  stack.gatehouse.signal("SIGSTOP");
  // The first call is on a connection from before, the second on one that the hung process never took.
  for (const attempt of ["on the old connection", "on a new one"]) {
    const begun = performance.now();
    expect(await knock(), attempt).toMatchObject({ code: unavailable });
    // 4 s to the next PING, 15 % at most added, and 3 s for its answer; the rest is for a loaded machine.
    expect(performance.now() - begun, attempt).toBeLessThan(8000 + 1000);
  }
  stack.gatehouse.signal("SIGCONT");
  await until(async () => (await knock()).code === unauthenticated, { deadlineMs: 30_000 });
});

test("killed and away, calls end UNAVAILABLE at once; back, it serves", async () => {
  await stack.gatehouse.kill9();
  expect(await knock()).toMatchObject({ code: unavailable });
  await stack.gatehouse.start();
  await until(async () => (await knock()).code === unauthenticated, { deadlineMs: 30_000 });
});

test("SIGTERM: exit code 0, and no socket stays", async () => {
  expect(await stack.gatehouse.stop()).toBe(0);
  expect(readdirSync(join(stack.folder, "run"))).toEqual([]);
  expect(existsSync(join(stack.folder, "drivers/runtime.lock"))).toBe(false);
  expect(await knock()).toMatchObject({ code: unavailable });
  await stack.gatehouse.start();
  await until(async () => (await knock()).code === unauthenticated, { deadlineMs: 30_000 });
});

test("an issuer that is away: an unknown key is refused as ISSUER_UNAVAILABLE, with few fetches; back, it is unknown", async () => {
  const unknownKey = await stack.token("alice", { header: { kid: "somebody-elses" } });
  const known = await stack.token("alice");
  await stack.issuer.kill9();
  const asUnknown = door({ authorization: `Bearer ${unknownKey}` });
  const asAlice = door({ authorization: `Bearer ${known}`, "x-spark-session-id": "sjns-platform-dev.bobs" });
  const fetches = async () => (await stack.metrics()).value("gatehouse_jwks_fetches_total");
  const before = await fetches();
  const begun = performance.now();
  await until(async () => (await asUnknown.call("Config", config)).message.includes("cannot be fetched"), {
    deadlineMs: 60_000,
  });
  const refused = await Promise.all(Array.from({ length: 200 }, async () => await asUnknown.call("Config", config)));
  expect(new Set(refused.map(({ code }) => code))).toEqual(new Set([unavailable]));
  const denials = (await stack.audit()).filter((record) => record.kind === "decision").map(({ reason }) => reason);
  expect(denials.filter((reason) => reason === "ISSUER_UNAVAILABLE").length).toBeGreaterThanOrEqual(200);
  // Tried again after 1, 2, 4, 4 ... s (the cooldown), whatever is asked.
  const seconds = (performance.now() - begun) / 1000;
  const made = (await fetches()) - before;
  expect(made).toBeGreaterThan(0);
  expect(made).toBeLessThanOrEqual(3 + seconds / 4);
  // A token of a known key that was never seen before is verified: what is refused is the session.
  expect(await asAlice.call("Config", config)).toMatchObject({ code: 7 });
  await stack.issuer.start();
  await until(async () => (await asUnknown.call("Config", config)).code === unauthenticated, { deadlineMs: 90_000 });
  asUnknown.close();
  asAlice.close();
});

test("an audit log that cannot be written: calls are refused, PySpark says why, nothing is started", async () => {
  expect(await stack.gatehouse.stop()).toBe(0);
  stack.reconfigure({ audit: { file: "/dev/full" } });
  await stack.gatehouse.start();
  const client = await liveClient(stack, { user: "alice", session: "sjns-analytics-dev.main" });
  await client.result("connect", { impatient: true });
  await until(async () => (await knock()).code === unauthenticated, { deadlineMs: 30_000 });
  const { error } = await client.ask("count").done;
  await client.end();
  expect(error).toContain(
    "(AUDIT_UNAVAILABLE) the audit record of this call cannot be written, so the call is refused",
  );
  expect(stack.drivers()).toEqual([]);
  expect((await stack.metrics()).value("gatehouse_audit_records_total", { outcome: "failed" })).toBeGreaterThan(0);
});
