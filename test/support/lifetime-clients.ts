import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import type { PysparkRun } from "./pyspark.ts";
import { type RawChannel, rawChannel } from "./raw-call.ts";
import { aSession, concat, field, frame, userContext } from "./spark-wire.ts";
import type { Stack, StackDriver } from "./stack.ts";
import { until } from "./until.ts";

/** A client whose query lasts for as long as the test wants. */
export interface HeldQuery {
  readonly run: PysparkRun;
  /** The query ends when it exists. */
  readonly file: string;
  /** The process of the driver's in which the query runs. */
  readonly worker: number;
  readonly driver: StackDriver;
  release(): Promise<void>;
}

/** Starts a client of alice's with what `py/lifetimes.py` says. */
export async function startClient(
  stack: Stack,
  session: string,
  { args, connectSession }: { readonly args: readonly string[]; readonly connectSession?: string },
): Promise<PysparkRun> {
  const named = { user: "alice", session: session.replace("/", ".") };
  const parameters = connectSession === undefined ? {} : { session_id: connectSession };
  return await stack.pyspark("lifetimes.py", { ...named, args, parameters, timeoutMs: 400_000 });
}

/** Resolves when the query runs. */
export async function holdQuery(stack: Stack, session: string, what = "hold"): Promise<HeldQuery> {
  const file = join(stack.folder, `hold-${session.replace("/", "-")}-${Date.now()}`);
  const run = await startClient(stack, session, { args: [what, file] });
  const worker = (): string => (existsSync(`${file}.running`) ? readFileSync(`${file}.running`, "utf8") : "");
  await Promise.race([
    until(() => worker() !== "", { deadlineMs: 120_000, what: `the query of ${session} runs` }),
    run.done.then(({ code, stdout, stderr }) => {
      throw new Error(`the client of ${session} ended (${code}): ${stdout}${stderr.slice(-2000)}`);
    }),
  ]);
  const release = async (): Promise<void> => await writeFile(file, "");
  return { run, file, worker: Number(worker()), driver: driverOf(stack, session), release };
}

/** A small query of a client that ends as a client should. Resolves with the driver. */
export async function useDriver(stack: Stack, session: string): Promise<StackDriver> {
  const run = await stack.pyspark("steps.py", { user: "alice", session: session.replace("/", "."), args: ["sql"] });
  expect((await run.done).result("sql")).toEqual([0, 1, 4, 9, 16]);
  return driverOf(stack, session);
}

/** @throws Error where none runs */
export function driverOf(stack: Stack, session: string): StackDriver {
  const found = stack.drivers().find((each) => each.session === session);
  if (found?.pid === undefined) throw new Error(`no driver runs for ${session}`);
  return found;
}

/** A channel of alice's, for calls without PySpark. */
export async function channelTo(stack: Stack, session: string): Promise<RawChannel> {
  const headers = {
    authorization: `Bearer ${await stack.token("alice")}`,
    "x-spark-session-id": session.replace("/", "."),
  };
  return rawChannel({ url: `https://localhost:${stack.ports.envoy}`, caFile: stack.caFile, headers });
}

/** The body of a Config call that reads one setting. */
export const readSetting = (): Uint8Array =>
  frame(concat(field(1, aSession), userContext("alice"), field(3, field(4, field(1, "spark.probe.none")))));
