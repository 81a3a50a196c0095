import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withLock } from "../../../deploy/local/lock.mjs";
import { until } from "../../support/until.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gatehouse-lock-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the installation lock", () => {
  it("lets one at a time in, and leaves nothing", async () => {
    let inside = 0;
    let most = 0;
    const work = async () => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((done) => setTimeout(done, 20));
      inside -= 1;
    };
    const path = join(folder, "deep/lock");
    await Promise.all([1, 2, 3].map(async () => await withLock(path, () => undefined, work)));
    expect(most).toBe(1);
    expect(readdirSync(join(folder, "deep"))).toEqual([]);
  });

  it("is given back when the work throws", async () => {
    const path = join(folder, "lock");
    const failing = withLock(
      path,
      () => undefined,
      () => Promise.reject(new Error("no")),
    );
    await expect(failing).rejects.toThrow("no");
    expect(
      await withLock(
        path,
        () => undefined,
        () => Promise.resolve(7),
      ),
    ).toBe(7);
  });

  it("waits for another process, and takes over when that one dies", async () => {
    const path = join(folder, "lock");
    const module = JSON.stringify(new URL("../../../deploy/local/lock.mjs", import.meta.url).href);
    const program = `const { withLock } = await import(${module});
      await withLock(${JSON.stringify(path)}, () => undefined, () => new Promise(() => setInterval(() => {}, 1000)));`;
    const other = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: "inherit" });
    await until(() => readdirSync(folder).includes("lock"));
    const told: string[] = [];
    const mine = withLock(
      path,
      (pid) => told.push(pid),
      () => Promise.resolve("mine"),
    );
    await until(() => told.length === 1);
    expect(told).toEqual([String(other.pid)]);
    other.kill("SIGKILL");
    await once(other, "exit");
    expect(await mine).toBe("mine");
  });

  it("is not kept by a process that has the holder's number but is another one", async () => {
    const path = join(folder, "lock");
    writeFileSync(path, `${process.pid} 1`);
    expect(
      await withLock(
        path,
        () => undefined,
        () => Promise.resolve(readFileSync(path, "utf8")),
      ),
    ).not.toBe("");
  });
});
