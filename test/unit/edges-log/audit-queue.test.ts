import { expect, it } from "vitest";
import { createBatchQueue } from "../../../src/edges/log/audit-queue.ts";

it("hands over all of one turn at once, and what comes meanwhile in the next batch", async () => {
  const batches: number[][] = [];
  const queue = createBatchQueue<number>(async (batch) => {
    batches.push([...batch]);
    if (batches.length === 1) queue.push(3);
    await Promise.resolve();
  }, 8);
  queue.push(1);
  queue.push(2);
  expect(batches).toEqual([]);
  await queue.between(() => undefined);
  await queue.between(() => undefined);
  expect(batches).toEqual([[1, 2], [3]]);
});

it("does not wait for the turn's end once enough are there", async () => {
  const batches: number[][] = [];
  const queue = createBatchQueue<number>(async (batch) => {
    batches.push([...batch]);
    await Promise.resolve();
  }, 3);
  for (const entry of [1, 2, 3]) queue.push(entry);
  expect(batches).toEqual([[1, 2, 3]]);
  for (const entry of [4, 5, 6, 7, 8]) queue.push(entry);
  expect(batches).toEqual([[1, 2, 3]]);
  await queue.between(() => undefined);
  expect(batches).toEqual([
    [1, 2, 3],
    [4, 5, 6, 7, 8],
  ]);
  queue.push(9);
  await queue.between(() => undefined);
  expect(batches.at(-1)).toEqual([9]);
});

it("misses nothing that is pushed as soon as the batch before is done", async () => {
  let taken = 0;
  const queue = createBatchQueue<() => void>(async (batch) => {
    taken += batch.length;
    for (const done of batch) done();
  }, 8);
  for (let i = 0; i < 100; i++) {
    await new Promise<void>((resolve) => queue.push(resolve));
  }
  expect(taken).toBe(100);
});

it("runs tasks between batches, and passes on what they throw", async () => {
  const seen: string[] = [];
  const queue = createBatchQueue<string>(async (batch) => {
    seen.push(`begin ${batch.join()}`);
    await new Promise((resolve) => void setImmediate(resolve));
    seen.push(`end ${batch.join()}`);
  }, 8);
  queue.push("a");
  const task = queue.between(() => void seen.push("task"));
  const failing = queue.between(() => {
    throw new Error("boo");
  });
  await expect(failing).rejects.toThrow("boo");
  await task;
  expect(seen).toEqual(["begin a", "end a", "task"]);
});
