import { execFileSync, spawn } from "node:child_process";
import {
  appendFileSync,
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ClosableAuditSink, createAuditSink } from "../../src/edges/log/audit-sink.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";
import { driverRecord } from "../fixtures/audit-writer/record.ts";

let folder: string;
let sinks: ClosableAuditSink[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gatehouse-audit-"));
  sinks = [];
});

afterEach(async () => {
  await Promise.all(sinks.map((sink) => sink.close()));
  rmSync(folder, { recursive: true });
});

function sinkFor(file: string, patienceMs = 50): ClosableAuditSink {
  const sink = createAuditSink({ file, log: silentLog, metrics: noMetrics, patienceMs });
  sinks.push(sink);
  return sink;
}

const sessionsIn = (text: string): string[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { session: string }).session);

describe("a file", () => {
  it("is made for its owner only and holds each record as one line of JSON and nothing else", async () => {
    const file = join(folder, "logs", "audit.log");
    const record = driverRecord("a", 'quote " newline \n separator \u2028');
    await sinkFor(file).write(record);
    const text = readFileSync(file, "utf8");
    expect(text.split("\n")).toHaveLength(2);
    expect(JSON.parse(text)).toEqual(record);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("takes 10,000 records written at once, whole and in order, and is appended to", async () => {
    const file = join(folder, "audit.log");
    const first = sinkFor(file);
    await first.write(driverRecord("before"));
    await first.close();
    const sink = sinkFor(file);
    await Promise.all(Array.from({ length: 10_000 }, (_, i) => sink.write(driverRecord(String(i)))));
    expect(sessionsIn(readFileSync(file, "utf8"))).toEqual([
      "before",
      ...Array.from({ length: 10_000 }, (_, i) => `${i}`),
    ]);
  });

  it("takes records that are written one after the other", async () => {
    const file = join(folder, "audit.log");
    const sink = sinkFor(file);
    for (let i = 0; i < 500; i++) {
      await sink.write(driverRecord(String(i)));
      if (i % 100 === 0) expect(sessionsIn(readFileSync(file, "utf8"))).toHaveLength(i + 1);
    }
  });

  it("goes on in a new file after a rotation", async () => {
    const file = join(folder, "audit.log");
    const sink = sinkFor(file);
    await sink.write(driverRecord("1"));
    renameSync(file, `${file}.1`);
    await sink.write(driverRecord("2"));
    const pending = sink.write(driverRecord("3"));
    await sink.reopen();
    await pending;
    await sink.write(driverRecord("4"));
    expect(sessionsIn(readFileSync(`${file}.1`, "utf8"))).toEqual(["1", "2", "3"]);
    expect(sessionsIn(readFileSync(file, "utf8"))).toEqual(["4"]);
  });

  it("is made anew when it was removed, and no record is lost with it", async () => {
    const file = join(folder, "audit.log");
    const sink = sinkFor(file);
    await sink.write(driverRecord("1"));
    rmSync(file);
    await sink.write(driverRecord("2"));
    expect(sessionsIn(readFileSync(file, "utf8"))).toEqual(["2"]);
  });

  it("keeps its old file when the new one cannot be opened", async () => {
    const file = join(folder, "a", "audit.log");
    const sink = sinkFor(file);
    await sink.write(driverRecord("1"));
    renameSync(join(folder, "a"), join(folder, "b"));
    appendFileSync(join(folder, "a"), "a file where the folder was");
    await expect(sink.reopen()).rejects.toThrow();
    await sink.write(driverRecord("2"));
    expect(sessionsIn(readFileSync(join(folder, "b", "audit.log"), "utf8"))).toEqual(["1", "2"]);
  });

  it("ends a line that an earlier writer left half written", async () => {
    const file = join(folder, "audit.log");
    appendFileSync(file, '{"half":');
    await sinkFor(file).write(driverRecord("1"));
    const [half, whole] = readFileSync(file, "utf8").split("\n");
    expect(half).toBe('{"half":');
    expect(JSON.parse(whole ?? "")).toMatchObject({ session: "1" });
  });

  it("writes what is waiting when it is closed, and refuses what comes later", async () => {
    const file = join(folder, "audit.log");
    const sink = sinkFor(file);
    const pending = Array.from({ length: 10 }, (_, i) => sink.write(driverRecord(String(i))));
    await sink.close();
    await Promise.all(pending);
    expect(sessionsIn(readFileSync(file, "utf8"))).toHaveLength(10);
    await expect(sink.write(driverRecord("late"))).rejects.toMatchObject({ reason: "AUDIT_UNAVAILABLE" });
  });
});

describe("a broken place", () => {
  it("fails every record of a full disk with AUDIT_UNAVAILABLE", async () => {
    const sink = sinkFor("/dev/full");
    const results = await Promise.allSettled([sink.write(driverRecord("1")), sink.write(driverRecord("2"))]);
    for (const result of results) {
      expect(result).toMatchObject({ status: "rejected", reason: { reason: "AUDIT_UNAVAILABLE" } });
    }
  });

  it("heals as soon as it can be written again", async () => {
    const blocked = join(folder, "logs");
    appendFileSync(blocked, "");
    const sink = sinkFor(join(blocked, "audit.log"));
    await expect(sink.write(driverRecord("1"))).rejects.toMatchObject({ reason: "AUDIT_UNAVAILABLE" });
    rmSync(blocked);
    await sink.write(driverRecord("2"));
    expect(sessionsIn(readFileSync(join(blocked, "audit.log"), "utf8"))).toEqual(["2"]);
  });

  it("refuses more than may wait", async () => {
    const file = join(folder, "audit.log");
    const sink = createAuditSink({ file, log: silentLog, metrics: noMetrics, maxWaitingBytes: 600 });
    sinks.push(sink);
    const results = await Promise.allSettled(["1", "2", "3", "4", "5"].map((key) => sink.write(driverRecord(key))));
    const written = results.filter(({ status }) => status === "fulfilled").length;
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(5);
    expect(sessionsIn(readFileSync(file, "utf8"))).toHaveLength(written);
    await sink.write(driverRecord("6"));
  });
});

describe("a pipe", () => {
  it("fails when it stays full, without blocking, and then goes on with whole lines", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const sink = sinkFor(pipe);
    const filler = "x".repeat(5000);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 100 }, (_, i) => sink.write(driverRecord(String(i), filler))),
    );
    const written = outcomes.flatMap(({ status }, i) => (status === "fulfilled" ? [String(i)] : []));
    expect(written.length).toBeGreaterThan(0);
    expect(written.length).toBeLessThan(100);
    const before = drain(reader);
    await sink.write(driverRecord("after"));
    const lines = (before + drain(reader)).split("\n").filter((line) => line !== "");
    const whole = lines.flatMap((line) => {
      try {
        return [(JSON.parse(line) as { session: string }).session];
      } catch {
        return [];
      }
    });
    expect(whole).toEqual([...written, "after"]);
    expect(lines.length - whole.length).toBeLessThanOrEqual(1);
    closeSync(reader);
  });

  it("waits for a slow reader", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const sink = sinkFor(pipe, 10_000);
    let text = "";
    let done = false;
    const all = Promise.all(
      Array.from({ length: 200 }, (_, i) => sink.write(driverRecord(String(i), "x".repeat(5000)))),
    ).then(() => (done = true));
    await expect
      .poll(
        () => {
          text += drain(reader);
          return done;
        },
        { timeout: 10_000, interval: 10 },
      )
      .toBe(true);
    await all;
    text += drain(reader);
    expect(sessionsIn(text)).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
    closeSync(reader);
  });
});

describe("another process", () => {
  const writer = (file: string) =>
    spawn(process.execPath, ["--import", "tsx", "test/fixtures/audit-writer/main.ts", file], {
      stdio: ["ignore", "pipe", "pipe"],
    });

  it("leaves every record whose promise resolved when it is killed", async () => {
    const file = join(folder, "audit.log");
    const child = writer(file);
    let resolved = -1;
    for await (const line of createInterface({ input: child.stderr })) {
      resolved = Number(line);
      if (resolved >= 200) child.kill("SIGKILL");
    }
    expect(resolved).toBeGreaterThanOrEqual(200);
    expect(sessionsIn(readFileSync(file, "utf8")).length).toBeGreaterThan(resolved);
  });

  it("writes to its standard output where the file is -", async () => {
    const child = writer("-");
    child.stderr.resume();
    const seen: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      if (seen.length < 300) seen.push(line);
      else child.kill("SIGKILL");
    }
    expect(sessionsIn(seen.join("\n"))).toEqual(Array.from({ length: 300 }, (_, i) => String(i)));
  });

  it("is told when nobody reads its standard output, instead of being blocked", async () => {
    const child = writer("-");
    let last = "";
    for await (const line of createInterface({ input: child.stderr })) last = line;
    expect(last).toBe("AUDIT_UNAVAILABLE");
    child.stdout.resume();
  });
});

function drain(fd: number): string {
  const chunk = Buffer.alloc(65_536);
  const chunks: Buffer[] = [];
  for (;;) {
    try {
      const count = readSync(fd, chunk);
      if (count === 0) break;
      chunks.push(Buffer.from(chunk.subarray(0, count)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      break;
    }
  }
  return Buffer.concat(chunks).toString();
}
