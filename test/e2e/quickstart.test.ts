import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { addressPool, repositoryRoot } from "../../deploy/local/layout.ts";
import { plainEnvironment } from "../../deploy/local/parts.ts";
import { freePort, portIsFree } from "../../deploy/local/ports.ts";
import { waitFor } from "../../deploy/local/processes.ts";
import { runProgram } from "../../deploy/local/programs.ts";
import type { QuickstartFacts } from "../../deploy/local/quickstart-run.ts";

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  stdout(): string;
  stderr(): string;
}

let folder: string;
let port: number;
const runs: Run[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gh-quickstart-"));
});

afterEach(async () => {
  for (const { child, ended } of runs.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await ended;
  }
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** `npm run quickstart`, as from a plain shell. */
function quickstart(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const child = spawn(process.execPath, ["deploy/local/bootstrap.mjs", "quickstart", ...args], {
    cwd: repositoryRoot,
    env: plainEnvironment({
      GATEHOUSE_QUICKSTART_PORT: String(port),
      GATEHOUSE_QUICKSTART_FOLDER: folder,
      ...(process.env["GATEHOUSE_CACHE"] === undefined ? {} : { GATEHOUSE_CACHE: process.env["GATEHOUSE_CACHE"] }),
      ...env,
    }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    texts.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    texts.stderr += text;
  });
  const ended = once(child, "close").then(([code]) => code as number | null);
  const run = { child, ended, stdout: () => texts.stdout, stderr: () => texts.stderr };
  runs.push(run);
  return run;
}

/** Processes whose command line names the folder or the drivers' addresses: Gatehouse, Envoy, drivers. */
function leftRunning(): readonly number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .filter((entry) => {
      try {
        const commandLine = readFileSync(`/proc/${entry}/cmdline`, "utf8");
        return commandLine.includes(folder) || commandLine.includes(addressPool(folder).replace("0/24", ""));
      } catch {
        return false;
      }
    })
    .map(Number);
}

async function expectNothingLeft(facts?: QuickstartFacts): Promise<void> {
  expect(leftRunning()).toEqual([]);
  expect(await portIsFree(port)).toBe(true);
  for (const each of Object.values(facts?.ports ?? {})) expect(await portIsFree(each)).toBe(true);
  for (const name of ["quickstart.json", "quickstart.lock"]) expect(existsSync(join(folder, name))).toBe(false);
}

async function factsOf(run: Run): Promise<QuickstartFacts> {
  const file = join(folder, "quickstart.json");
  const text = await waitFor(
    "quickstart.json",
    () => {
      if (run.child.exitCode !== null) throw new Error(`the quick start ended: ${run.stderr()}${run.stdout()}`);
      return existsSync(file) ? readFileSync(file, "utf8") : undefined;
    },
    { deadlineMs: 60_000, children: [] },
  );
  return JSON.parse(text) as QuickstartFacts;
}

async function untilUp(run: Run): Promise<void> {
  await waitFor(
    "the snippet",
    () => {
      if (run.child.exitCode !== null) throw new Error(`the quick start ended: ${run.stderr()}${run.stdout()}`);
      return run.stdout().includes("Press Ctrl-C");
    },
    { deadlineMs: 120_000, children: [] },
  );
}

describe("npm run quickstart", () => {
  beforeAll(async () => {
    port = await freePort();
  });

  test("-- --once shows a query and a refusal, exits 0 and leaves nothing", async () => {
    const run = quickstart(["--once"]);
    const code = await run.ended;
    expect({ code, stderr: run.stderr() }).toEqual({ code: 0, stderr: "" });
    const lines = run.stdout().split("\n");
    expect(lines.filter((line) => /^\[ *\d+\.\d s\] /.test(line)).length).toBeGreaterThan(5);
    expect(run.stdout()).toContain(
      "Spark 4.1.0 counted: remainder 0: 333334, remainder 1: 333333, remainder 2: 333333",
    );
    expect(lines.find((line) => line.includes("bob"))).toMatch(/refused: .*(PERMISSION_DENIED|SESSION_FORBIDDEN)/);
    expect(run.stdout()).toContain("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=");
    expect(run.stdout()).not.toMatch(/eyJ[\w-]{10}/);
    await expectNothingLeft();
  });

  test("stays up, says where everything is, its snippet works, a second one is refused, SIGINT ends it all", async () => {
    const run = quickstart([]);
    const facts = await factsOf(run);
    expect((await stat(join(folder, "quickstart.json"))).mode & 0o777).toBe(0o600);
    expect(facts).toMatchObject({ url: `sc://localhost:${port}/;use_ssl=true`, ports: { envoy: port } });
    expect(Object.keys(facts.tokens)).toEqual(["alice", "bob", "carol"]);
    expect((await fetch(`${facts.http_url}/healthz`)).status).toBe(200);

    const second = quickstart(["--once"]);
    expect(await second.ended).toBe(1);
    expect(second.stderr()).toMatch(/^quickstart failed: another quick start is running in this checkout .*\n$/);

    await untilUp(run);
    expect(run.stdout()).toContain(`token=${facts.tokens.alice}`);
    const pasted = run
      .stdout()
      .split("\n")
      .filter((line) => line.startsWith("export ") || line.includes(" -i -c "))
      .join("\n");
    const shell = { cwd: folder, env: plainEnvironment(), timeoutMs: 60_000 };
    const shown = await runProgram("/bin/sh", ["-c", `${pasted} </dev/null`], shell);
    expect(shown.stdout).toMatch(/\| id\|[^]*\| {2}9\|/);

    run.child.kill("SIGINT");
    expect(await run.ended).toBe(0);
    await expectNothingLeft(facts);
  });

  test("a Gatehouse that dies ends it with one clear line, and its drivers with it", async () => {
    const run = quickstart([]);
    const facts = await factsOf(run);
    await untilUp(run);
    expect(leftRunning().length).toBeGreaterThan(2);
    process.kill(facts.pids.gatehouse, "SIGKILL");
    expect(await run.ended).toBe(1);
    expect(run.stderr().split("\n")[0]).toMatch(/^quickstart failed: Gatehouse ended/);
    await expectNothingLeft(facts);
  });

  test("the next one cleans up after one that was killed", async () => {
    const first = quickstart([]);
    const facts = await factsOf(first);
    await untilUp(first);
    const holder = JSON.parse(readFileSync(join(folder, "quickstart.lock"), "utf8")) as { pid: number };
    process.kill(holder.pid, "SIGKILL");
    await first.ended;
    const next = quickstart(["--once"]);
    expect({ code: await next.ended, stderr: next.stderr() }).toEqual({ code: 0, stderr: "" });
    expect(next.stdout()).toContain("Ended Envoy, left over from a quick start that was killed");
    await expectNothingLeft(facts);
  });
});

describe("what cannot work is one clear line and exit code 1", () => {
  test("the port is in use", async () => {
    const server = createServer();
    port = await freePort();
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const run = quickstart(["--once"]);
    expect(await run.ended).toBe(1);
    server.close();
    expect(run.stderr()).toBe(
      `quickstart failed: port ${port} is in use (by process ${process.pid}): stop what uses it, ` +
        "or set GATEHOUSE_QUICKSTART_PORT to another port\n",
    );
    expect(run.stdout()).toBe("");
  });

  test("the port is no port", async () => {
    const run = quickstart(["--once"], { GATEHOUSE_QUICKSTART_PORT: "http" });
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toBe(
      'quickstart failed: GATEHOUSE_QUICKSTART_PORT is "http": it must be a port from 1024 to 65535\n',
    );
  });
});
