import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { processMarks } from "../../src/edges/local/java-command.ts";
import type { LocalRuntimeOptions } from "../../src/edges/local/options.ts";
import { findDriverProcesses, sessionMembers } from "../../src/edges/local/process-identity.ts";
import { createLocalRuntime } from "../../src/edges/local/runtime.ts";
import { driverFolder } from "../../src/edges/local/state-file.ts";
import { askSettings } from "../support/connect-call.ts";
import { type LocalWorld, scriptWorld, smallProfile, sparkWorld } from "../support/local-world.ts";
import { argumentsOf, isRunning } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { type Watched, watchRuntime } from "../support/watched.ts";

const key = (app: string) => ({ cluster: "local", namespace: "test", app });
const order = (app: string, profile = "default") => ({
  key: key(app),
  owner: "alice@local",
  ownerUser: "alice",
  sharedWithGroups: [],
  profile,
});

/** Never listens; its child must end with it. */
const sleeper = "sleep 600 & wait";

let undo: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.toReversed()) await step();
  undo = [];
});

const use = async (making: Promise<LocalWorld>): Promise<LocalWorld> => {
  const world = await making;
  undo.push(world.dispose);
  return world;
};

const open = async (options: LocalRuntimeOptions): Promise<Watched> => {
  const watched = watchRuntime(createLocalRuntime(options));
  undo.push(async () => await watched.close());
  await watched.when("the first list is complete", (w) => w.firstList);
  return watched;
};

const processesOf = (options: LocalRuntimeOptions) =>
  findDriverProcesses((uid) => processMarks(options.folder, uid)).map(({ pid }) => pid);

const startedOne = async (options: LocalRuntimeOptions): Promise<number> => {
  await until(() => processesOf(options).length === 1, { what: "the driver's process is there" });
  return processesOf(options)[0] ?? 0;
};

/** A Gatehouse that starts one driver and is killed without warning as soon as it has a process. */
const crashAfterStart = async (options: LocalRuntimeOptions): Promise<number> => {
  const { clock: _, log: __, firstCall: ___, ...plain } = options;
  const source = (file: string) => JSON.stringify(new URL(`../../src/${file}`, import.meta.url).href);
  const program = `
    const { createLocalRuntime } = await import(${source("edges/local/runtime.ts")});
    const { createFirstCall } = await import(${source("edges/driver/first-call.ts")});
    const { systemClock } = await import(${source("kernel/clock.ts")});
    const { silentLog } = await import(${source("kernel/log.ts")});
    const parts = { firstCall: createFirstCall(), clock: systemClock, log: silentLog };
    const runtime = createLocalRuntime({ ...${JSON.stringify(plain)}, ...parts });
    await runtime.start(${JSON.stringify(order("one"))});
    process.stdout.write("ordered");
    setInterval(() => undefined, 1000);`;
  const args = ["--import", import.meta.resolve("tsx"), "--input-type=module", "-e", program];
  const gatehouse = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await once(gatehouse.stdout, "data");
  const pid = await startedOne(options);
  const folder = join(options.folder, "drivers");
  const state = () => readFileSync(join(folder, readdirSync(folder)[0] ?? "", "state.json"), "utf8");
  await until(() => state().includes('"process"'), { what: "the process is in the state file" });
  await expect(watchOnce(options)).rejects.toThrow(`in use by another Gatehouse (process ${gatehouse.pid})`);
  gatehouse.kill("SIGKILL");
  await once(gatehouse, "exit");
  expect(isRunning(pid)).toBe(true);
  return pid;
};

const watchOnce = async (options: LocalRuntimeOptions) => {
  const sink = { upsert: () => undefined, remove: () => undefined, synced: () => undefined };
  await createLocalRuntime(options).watch(sink, new AbortController().signal);
};

describe("after a crash of Gatehouse", () => {
  it("a driver that was starting is adopted, becomes ready and serves", { timeout: 120_000 }, async () => {
    const { options, log } = await use(sparkWorld());
    const pid = await crashAfterStart(options);
    const { runtime, ...watched } = await open(options);
    expect(watched.firstList).toBe(1);
    const driver = await watched.ready(key("one"));
    expect(processesOf(options)).toEqual([pid]);
    expect(await askSettings(driver.address, driver.token?.reveal())).toBe(0);

    const token = driver.token?.reveal() ?? "";
    const logs = readdirSync(join(options.folder, "logs")).map((file) => join(options.folder, "logs", file));
    expect(logs).toHaveLength(1);
    expect(readFileSync(logs[0] ?? "", "utf8")).not.toContain(token);
    expect(argumentsOf(pid)).not.toContain(token);
    expect(JSON.stringify(log)).not.toContain(token);
    expect(statSync(options.folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(driverFolder(options.folder, driver.uid), "state.json")).mode & 0o777).toBe(0o600);

    await runtime.stop(driver, "idle");
    expect(isRunning(pid)).toBe(false);
    expect(readdirSync(join(options.folder, "drivers"))).toEqual([]);
  });

  it("a process is found again although the state file does not name it yet", { timeout: 30_000 }, async () => {
    const { options } = await use(scriptWorld(sleeper));
    const pid = await crashAfterStart(options);
    const [uid = ""] = readdirSync(join(options.folder, "drivers"));
    const file = join(driverFolder(options.folder, uid), "state.json");
    const { process: _, ...state } = JSON.parse(readFileSync(file, "utf8")) as { process: unknown };
    writeFileSync(file, JSON.stringify(state));
    const watched = await open(options);
    expect(watched.of(key("one"))).toMatchObject({ uid, phase: "starting" });
    await watched.runtime.stop(watched.of(key("one"))!, "deleted");
    expect(isRunning(pid)).toBe(false);
  });

  it("a process that no record knows is ended", { timeout: 30_000 }, async () => {
    const { options } = await use(scriptWorld(sleeper));
    const pid = await crashAfterStart(options);
    rmSync(join(options.folder, "drivers"), { recursive: true });
    const watched = await open(options);
    expect(watched.firstList).toBe(0);
    expect(isRunning(pid)).toBe(false);
  });

  it("a record without a process is removed, and its driver reported as died", { timeout: 30_000 }, async () => {
    const { options } = await use(scriptWorld(sleeper));
    process.kill(-(await crashAfterStart(options)), "SIGKILL");
    await until(() => processesOf(options).length === 0);
    const watched = await open(options);
    expect(watched.firstList).toBe(0);
    expect(watched.ends).toMatchObject([{ cause: "died", key: key("one") }]);
    expect(readdirSync(join(options.folder, "drivers"))).toEqual([]);
  });

  it("a stop that was ordered is finished, and the name is free only then", { timeout: 30_000 }, async () => {
    const { options } = await use(scriptWorld(sleeper));
    const pid = await crashAfterStart(options);
    const [uid = ""] = readdirSync(join(options.folder, "drivers"));
    const file = join(driverFolder(options.folder, uid), "state.json");
    writeFileSync(file, readFileSync(file, "utf8").replace('"phase": "starting"', '"phase": "ending"'));
    const watched = await open(options);
    expect(watched.firstList).toBe(0);
    await watched.runtime.start(order("one"));
    expect(isRunning(pid)).toBe(false);
    expect(watched.ends).toMatchObject([{ cause: "stopped", uid }]);
    expect(watched.of(key("one"))?.uid).not.toBe(uid);
  });

  it("a folder whose record makes no sense is removed", { timeout: 30_000 }, async () => {
    const { options } = await use(scriptWorld(sleeper));
    const first = await open(options);
    await first.close();
    const folder = join(options.folder, "drivers", "11111111-2222-4333-8444-555555555555");
    renameSync(join(options.folder, "logs"), folder);
    writeFileSync(join(folder, "state.json"), '{"v":1,"uid":');
    rmSync(join(options.folder, "runtime.lock"), { force: true });
    const watched = await open(options);
    expect(watched.firstList).toBe(0);
    expect(readdirSync(join(options.folder, "drivers"))).toEqual([]);
  });
});

describe("a start", () => {
  it("that is late fails with the last lines, and its process is ended", async () => {
    const { options } = await use(scriptWorld(`echo "still loading" >&2; ${sleeper}`, { startTimeoutMs: 600 }));
    const watched = await open(options);
    await watched.runtime.start(order("late"));
    const failed = await watched.when("it failed", (w) => w.history.find(({ phase }) => phase === "failed"));
    expect(failed.failure).toMatchObject({
      summary: "driver was not ready within 0.6 s",
      logTail: ["still loading"],
      exitCode: undefined,
    });
    expect(processesOf(options)).toEqual([]);
  });

  it("whose driver ends tells why, without the token, and can be ordered anew", async () => {
    const script = 'echo "Error: no good: $SPARK_CONNECT_AUTHENTICATE_TOKEN" >&2; exit 3';
    const { options } = await use(scriptWorld(script, { failureMemoryMs: 60_000 }));
    const watched = await open(options);
    await watched.runtime.start(order("one"));
    const failed = await watched.when("it failed", (w) => w.history.find(({ phase }) => phase === "failed"));
    expect(failed.failure).toMatchObject({
      summary: "driver exited with code 3: Error: no good: [redacted]",
      logTail: ["Error: no good: [redacted]"],
      exitCode: 3,
    });
    await watched.runtime.start(order("one"));
    expect(watched.of(key("one"))?.uid).not.toBe(failed.uid);
    expect(watched.ends).toMatchObject([{ uid: failed.uid, cause: "died" }]);
  });

  it("fails in plain words where Java is not there", async () => {
    const { options } = await use(scriptWorld(sleeper, { java: "no-such-java" }));
    const watched = await open(options);
    await watched.runtime.start(order("one"));
    const failed = await watched.when("it failed", (w) => w.history.find(({ phase }) => phase === "failed"));
    expect(failed.failure?.summary).toBe("cannot start no-such-java: spawn no-such-java ENOENT");
  });

  it("waits for its turn, and leaves nothing when it is stopped before", async () => {
    const { options } = await use(scriptWorld(sleeper, { concurrentStarts: 1 }));
    const watched = await open(options);
    await watched.runtime.start(order("one"));
    await watched.runtime.start(order("two"));
    await startedOne(options);
    const two = watched.of(key("two"))!;
    await watched.runtime.stop(two, "deleted");
    expect(watched.ends).toMatchObject([{ uid: two.uid, cause: "stopped" }]);
    expect(processesOf(options)).toHaveLength(1);
    await watched.runtime.start(order("three"));
    await watched.runtime.stop(watched.of(key("one"))!, "deleted");
    await startedOne(options);
    await watched.runtime.stop(watched.of(key("three"))!, "deleted");
    expect(readdirSync(join(options.folder, "drivers"))).toEqual([]);
  });

  it("is refused beyond the limit, without a profile, and without a token where one is asked for", async () => {
    const profiles = {
      default: smallProfile,
      missing: { ...smallProfile, sparkVersion: "4.9.9" },
      old: { ...smallProfile, sparkVersion: "3.5.7" },
    };
    const installations = { "4.1.0": { sparkHome: "/", python: "" }, "3.5.7": { sparkHome: "/", python: "" } };
    const { options } = await use(scriptWorld(sleeper, { maxDrivers: 1, profiles, installations }));
    const watched = await open(options);
    const refusal = async (app: string, profile?: string) =>
      await watched.runtime.start(order(app, profile)).then(
        () => "",
        (error: unknown) => (error as { reason: string }).reason,
      );
    expect(await refusal("a", "nobody's")).toBe("DRIVER_FAILED");
    expect(await refusal("a", "missing")).toBe("DRIVER_FAILED");
    expect(await refusal("a", "old")).toBe("DRIVER_TOKENLESS");
    expect(await refusal("a")).toBe("");
    expect(await refusal("b")).toBe("DRIVER_LIMIT");
    expect(watched.drivers.size).toBe(1);
  });
});

describe("an end", () => {
  it("takes along what leads a group of its own, as Python workers do", async () => {
    const { options } = await use(scriptWorld("set -m; sleep 600 & echo started >&2; wait"));
    const watched = await open(options);
    for (const end of [
      (pid: number) => Promise.resolve(process.kill(pid, "SIGKILL")),
      async () => await watched.runtime.stop(watched.of(key("one"))!, "deleted"),
    ]) {
      await watched.runtime.start(order("one"));
      const pid = await startedOne(options);
      await until(() => sessionMembers(pid).length === 2, { what: "the worker is there" });
      await end(pid);
      await until(() => sessionMembers(pid).length === 0, { what: "the worker is gone" });
    }
  });

  it("is forced on a driver that does not heed it", async () => {
    const stubborn = "trap '' TERM; echo trapped >&2; while :; do sleep 600 & wait; done";
    const { options } = await use(scriptWorld(stubborn, { stopGraceMs: 200 }));
    const watched = await open(options);
    await watched.runtime.start(order("one"));
    const pid = await startedOne(options);
    const logs = join(options.folder, "logs");
    await until(() => readdirSync(logs).some((file) => readFileSync(join(logs, file), "utf8").includes("trapped")));
    const begun = performance.now();
    await watched.runtime.stop(watched.of(key("one"))!, "max_ttl");
    expect(performance.now() - begun).toBeGreaterThanOrEqual(200);
    expect(isRunning(pid)).toBe(false);
  });

  it("comes with the runtime where drivers are not kept; only the newest logs stay", async () => {
    const { options } = await use(scriptWorld(sleeper, { keepDriversOnClose: false, keepLogs: 1 }));
    const watched = await open(options);
    await watched.runtime.start(order("one"));
    await watched.runtime.start(order("two"));
    await until(() => processesOf(options).length === 2);
    await watched.close();
    expect(processesOf(options)).toEqual([]);
    expect(readdirSync(join(options.folder, "drivers"))).toEqual([]);
    expect(readdirSync(join(options.folder, "logs"))).toHaveLength(1);
    expect(readdirSync(options.folder)).not.toContain("runtime.lock");
  });

  it("refuses a start that comes while they are ended", async () => {
    const { options } = await use(scriptWorld(sleeper, { keepDriversOnClose: false }));
    const watched = await open(options);
    await watched.runtime.start(order("one"));
    await startedOne(options);
    const closing = watched.runtime.close();
    await expect(watched.runtime.start(order("two"))).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
    await closing;
    expect(processesOf(options)).toEqual([]);
  });
});
