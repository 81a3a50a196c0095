import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { endProcess, isAlive, processStart } from "../../../deploy/local/process-identity.ts";
import { type Child, startChild, waitFor } from "../../../deploy/local/processes.ts";
import { runProgram, whileRunning } from "../../../deploy/local/programs.ts";

let folder: string;
const started: Child[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatehouse-processes-"));
});
afterEach(async () => {
  for (const child of started.splice(0)) await child.stop(0);
  await rm(folder, { recursive: true, force: true });
});

async function node(program: string, input?: string): Promise<Child> {
  const child = await startChild({
    name: "the sample",
    command: process.execPath,
    args: ["-e", program],
    cwd: folder,
    env: {},
    logFile: join(folder, "sample.log"),
    ...(input === undefined ? {} : { input }),
  });
  started.push(child);
  return child;
}

const forever = "setInterval(() => {}, 1000);";

describe("a child process", () => {
  test("gets its input, writes its log, and tells how it ended", async () => {
    const child = await node(
      "process.stdin.once('data', (d) => { console.log('got ' + d); process.exit(7); })",
      "hello\n",
    );
    expect(await child.exited).toEqual({ code: 7, signal: null });
    expect(await child.tail(5)).toContain("got hello");
    expect(child.exit()).toEqual({ code: 7, signal: null });
  });

  test("that ignores SIGTERM is killed after the grace", async () => {
    const child = await node(`process.on('SIGTERM', () => {}); console.log('ready'); ${forever}`);
    await waitFor("ready", async () => (await child.tail(1))[0] === "ready", { deadlineMs: 5000, children: [child] });
    expect(await child.stop(50)).toEqual({ code: null, signal: "SIGKILL" });
  });

  test("that cannot be started is an error with its name", async () => {
    const options = { name: "Nothing", command: join(folder, "missing"), args: [], cwd: folder, env: {} };
    await expect(startChild({ ...options, logFile: join(folder, "x.log") })).rejects.toThrow("cannot start Nothing");
  });
});

describe("waiting for a condition", () => {
  test("ends at once with the child's last words when the child dies", async () => {
    const child = await node("console.error('port taken'); process.exit(3)");
    const begun = Date.now();
    await expect(
      waitFor("its port", () => false, { deadlineMs: 20_000, children: [child], intervalMs: 20_000 }),
    ).rejects.toThrow(/^the sample ended \(exit code 3\) while waiting for its port[^]*port taken/);
    expect(Date.now() - begun).toBeLessThan(10_000);
  });

  test("ends at its deadline", async () => {
    const child = await node(forever);
    await expect(waitFor("the moon", () => false, { deadlineMs: 30, children: [child] })).rejects.toThrow(
      "the moon: not within 0.03 s",
    );
  });
});

describe("work beside children", () => {
  test("is given up when one of them ends", async () => {
    const child = await node(forever);
    const work = whileRunning([child], async (signal) => {
      child.signal("SIGKILL");
      await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    });
    await expect(work).rejects.toThrow("the sample ended");
  });

  test("gives its value while they run", async () => {
    const child = await node(forever);
    expect(await whileRunning([child], async () => 42)).toBe(42);
  });

  test("a program's output and code come back; the time limit kills it", async () => {
    const options = { cwd: folder, env: {}, timeoutMs: 10_000 };
    const said = await runProgram(
      process.execPath,
      ["-e", "console.log('out'); console.error('err'); process.exit(5)"],
      options,
    );
    expect(said).toEqual({ code: 5, stdout: "out\n", stderr: "err\n" });
    expect((await runProgram(process.execPath, ["-e", forever], { ...options, timeoutMs: 100 })).code).toBeNull();
    await expect(runProgram(join(folder, "missing"), [], options)).rejects.toThrow("ENOENT");
  });
});

describe("a process's identity", () => {
  test("is its id with its start time: another start time is another process", async () => {
    const child = await node(forever);
    expect(child.startTime).toBe(processStart(child.pid));
    expect(isAlive(child)).toBe(true);
    expect(isAlive({ pid: child.pid, startTime: "1" })).toBe(false);
    expect(await endProcess({ name: "x", pid: child.pid, startTime: "1" }, 1000)).toBe(false);
    expect(isAlive(child)).toBe(true);
    expect(await endProcess(child, 1000)).toBe(true);
    expect(isAlive(child)).toBe(false);
  });

  test("log files are for their owner only", async () => {
    const child = await node("console.log('x')");
    await child.exited;
    expect((await stat(child.logFile)).mode & 0o777).toBe(0o600);
  });
});
