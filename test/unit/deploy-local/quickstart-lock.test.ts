import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { processStart } from "../../../deploy/local/process-identity.ts";
import { takeLock } from "../../../deploy/local/quickstart-lock.ts";

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatehouse-lock-"));
  file = join(folder, "quickstart.lock");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const silent = (): void => undefined;
const goneHolder = (children: readonly unknown[] = []) =>
  JSON.stringify({ name: "quickstart", pid: process.pid, startTime: "not when we started", children });

test("one holder at a time, named in the refusal; released, it is free again", async () => {
  const lock = await takeLock(file, silent);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await expect(takeLock(file, silent)).rejects.toThrow(
    `another quick start is running in this checkout (process ${process.pid})`,
  );
  lock.release();
  expect(existsSync(file)).toBe(false);
  (await takeLock(file, silent)).release();
});

test("a dead holder's children are ended, by id and start time; a stranger with the same id is left alone", async () => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  await once(child, "spawn");
  const ended = once(child, "exit");
  const left = { name: "Envoy", pid: child.pid ?? 0, startTime: processStart(child.pid ?? 0) ?? "" };
  writeFileSync(file, goneHolder([left, { name: "a stranger", pid: process.pid, startTime: "1" }]));
  const lines: string[] = [];
  const lock = await takeLock(file, (line) => lines.push(line));
  await ended;
  expect(lines).toEqual(["Ended Envoy, left over from a quick start that was killed"]);
  lock.release();
});

test("of several that find a dead holder, exactly one takes over", async () => {
  writeFileSync(file, goneHolder());
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, async () => await takeLock(file, silent)));
  expect(outcomes.filter(({ status }) => status === "fulfilled").length).toBe(1);
});

test("what it notes is in the file, for whoever takes over", async () => {
  const lock = await takeLock(file, silent);
  lock.add({ name: "Envoy", pid: 1, startTime: "2" });
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
    pid: process.pid,
    children: [{ name: "Envoy", pid: 1, startTime: "2" }],
  });
  lock.release();
});
