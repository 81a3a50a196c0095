import { setTimeout as delay } from "node:timers/promises";
import { readLogEnd } from "./driver-log.ts";
import { type DriverProcess, endProcess, endSession, type ProcessEnd, startProcess } from "./driver-process.ts";
import { type Entry, tokenOf } from "./entry.ts";
import { javaCommand } from "./java-command.ts";
import type { LocalProfile, SparkInstallation } from "./options.ts";
import { untilReady } from "./ready.ts";
import { driverFolder, logFile } from "./state-file.ts";
import { fail, forget, persist, report, type World } from "./world.ts";

export interface LaunchParts {
  readonly profile: LocalProfile;
  readonly installation: SparkInstallation;
}

/** Starts the process when it is its turn, and sees it through until it is ready, has failed, or is not wanted. Never rejects. */
export async function launch(world: World, entry: Entry, parts: LaunchParts): Promise<void> {
  let giveBack: (() => void) | undefined;
  try {
    giveBack = await world.turns.take(entry.abort.signal);
    const used = [...world.entries.values()].map(({ record }) => record.address?.host ?? "");
    const host = await world.pool.next(new Set(used));
    entry.abort.signal.throwIfAborted();
    const address = { host, port: world.options.port };
    persist(world, entry, { address });
    const { folder, java } = world.options;
    const { uid, token } = entry.record;
    const ownFolder = driverFolder(folder, uid);
    const command = javaCommand({ uid, folder, ownFolder, address, token, ...parts });
    const process = await startProcess(java, command, ownFolder, logFile(folder, entry.record));
    follow(world, entry, process);
    persist(world, entry, { process: process.identity });
    await becomeReady(world, entry, process);
  } catch (error) {
    await giveUp(world, entry, error);
  } finally {
    giveBack?.();
  }
}

/** Waits until the driver answers, and says so. Never rejects: what comes of a failed wait is reported. */
export async function becomeReady(world: World, entry: Entry, process: DriverProcess): Promise<void> {
  const { clock, firstCall, startTimeoutMs } = world.options;
  const { address } = entry.record;
  const over = new AbortController();
  const stop = () => over.abort();
  const late = new Error(`driver was not ready within ${startTimeoutMs / 1000} s`);
  const cancelTimeout = clock.after(startTimeoutMs, () => over.abort(late));
  entry.abort.signal.addEventListener("abort", stop, { once: true });
  if (entry.abort.signal.aborted) stop();
  void process.ended.then(stop);
  try {
    if (address === undefined) throw new Error("driver has no address");
    const { pid } = process.identity;
    await untilReady({ firstCall, pid, address, token: tokenOf(entry), signal: over.signal });
    persist(world, entry, { phase: "ready" });
    world.options.log.info("driver is ready", { driver: entry.record.name, driver_uid: entry.record.uid, address });
    report(world, entry);
  } catch (error) {
    // The end of the process is reported by `follow`, an order to end by who gave it.
    if (over.signal.aborted && over.signal.reason !== late) return;
    await giveUp(world, entry, over.signal.aborted ? late : error);
  } finally {
    cancelTimeout();
    entry.abort.signal.removeEventListener("abort", stop);
  }
}

/** From now on the end of this process is the end of the driver. */
export function follow(world: World, entry: Entry, process: DriverProcess): void {
  entry.process = process;
  void process.ended.then(async (end) => {
    const isOver = entry.ending !== undefined || entry.failure !== undefined || entry.process !== process;
    if (world.closed || isOver) return;
    const how = describe(end);
    if (entry.record.phase === "starting") {
      const { tail, cause } = readLogEnd(logFile(world.options.folder, entry.record), tokenOf(entry));
      const why = cause ?? tail.at(-1);
      fail(world, entry, {
        summary: why === undefined ? how : `${how}: ${why}`,
        logTail: tail,
        exitCode: end.code,
      });
    } else {
      forget(world, entry, "died", how);
    }
    await endSession(process.identity.pid);
  });
}

async function giveUp(world: World, entry: Entry, error: unknown): Promise<void> {
  if (world.closed || entry.ending !== undefined) return;
  const { tail } = readLogEnd(logFile(world.options.folder, entry.record), tokenOf(entry));
  const process = entry.process;
  entry.process = undefined;
  if (process !== undefined) await endProcess(process.identity, 0);
  fail(world, entry, {
    summary: error instanceof Error ? error.message : "driver could not be started",
    logTail: tail,
    exitCode: undefined,
  });
}

function describe({ code, signal }: ProcessEnd): string {
  if (signal === "SIGKILL") return "driver was ended by SIGKILL (by hand, or because the machine had no memory left)";
  if (signal !== undefined) return `driver was ended by ${signal}`;
  return code === undefined ? "driver ended" : `driver exited with code ${code}`;
}

/** Ends the driver and resolves when nothing of it is left. */
export async function end(world: World, entry: Entry, summary: string): Promise<void> {
  entry.abort.abort(new Error(summary));
  await entry.launching;
  const process = entry.process;
  if (process !== undefined) {
    await endProcess(process.identity, world.options.stopGraceMs);
    await Promise.race([process.ended, delay(world.options.pollMs * 4)]);
    await endSession(process.identity.pid);
  }
  forget(world, entry, "stopped", summary);
}
