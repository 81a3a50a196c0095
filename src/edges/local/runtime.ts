import { randomBytes, randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { Draining } from "../../drivers/driver.ts";
import type { DriverRuntime, DriverSink, StartRequest } from "../../drivers/runtime.ts";
import { GatewayError } from "../../kernel/errors.ts";
import { createAddressPool } from "./address-pool.ts";
import { adoptAll } from "./adopt.ts";
import { type Entry, nameOf, newEntry, toDriver } from "./entry.ts";
import { lockFolder } from "./folder-lock.ts";
import { hasTokens } from "./java-command.ts";
import { end, type LaunchParts, launch } from "./launch.ts";
import { type LocalRuntimeOptions, withDefaults } from "./options.ts";
import { createStartTurns } from "./start-turns.ts";
import { type DriverRecord, makeFolders, removeRecord } from "./state-file.ts";
import { forget, persist, report, type World } from "./world.ts";

/**
 * Drivers as processes of this machine, for development: one Spark Connect server each, on a loopback address of its own,
 * with a token of its own. They outlive a crash of Gatehouse and are adopted by the next runtime on the same folder. The
 * folder is locked at the first use, and given back by `close`.
 */
export function createLocalRuntime(options: LocalRuntimeOptions): DriverRuntime {
  const resolved = withDefaults({ ...options, folder: resolve(options.folder) }, availableParallelism());
  const world: World = {
    options: resolved,
    entries: new Map(),
    sinks: new Set(),
    pool: createAddressPool(resolved.addressPool, resolved.port),
    turns: createStartTurns(resolved.concurrentStarts),
    earlierEnds: [],
    closed: false,
  };
  const closing = new AbortController();
  let unlock: (() => void) | undefined;
  let opening: Promise<void> | undefined;
  const open = async () => {
    makeFolders(resolved.folder);
    unlock = lockFolder(resolved.folder);
    await adoptAll(world);
  };
  const opened = async () => {
    if (world.closed) throw new GatewayError("SHUTTING_DOWN", "Gatehouse is shutting down; try again");
    opening ??= open();
    await opening.catch((error: unknown) => {
      opening = undefined;
      unlock?.();
      throw error;
    });
  };
  return {
    ...alone,
    async watch(sink, signal) {
      await opened();
      await watch(world, sink, AbortSignal.any([signal, closing.signal]));
    },
    async start(request) {
      await opened();
      await start(world, request);
    },
    async stop(ref, why) {
      await opened();
      const entry = find(world, ref);
      if (entry !== undefined) await stop(world, entry, why);
    },
    async record(ref, { activity, draining }) {
      await opened();
      const entry = find(world, ref);
      if (entry === undefined || entry.failure !== undefined || entry.ending !== undefined) return;
      persist(world, entry, { recorded: activity, ...(draining === "keep" ? {} : { draining }) });
      report(world, entry);
    },
    async close() {
      if (world.closed) return;
      await opening?.catch(() => undefined);
      await close(world);
      closing.abort();
      unlock?.();
    },
  };
}

/** One process owns the state folder, and what it knows of its own processes is never out of date. */
const alone = {
  shared: false,
  mayStop: () => true,
  isLed: () => true,
  handedOver: () => undefined,
  faults: () => [],
} as const;

async function watch(world: World, sink: DriverSink, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  world.sinks.add(sink);
  for (const gone of world.earlierEnds.splice(0)) sink.remove(gone);
  for (const entry of world.entries.values()) if (entry.ending === undefined) sink.upsert(toDriver(entry));
  sink.synced();
  await new Promise<void>((done) => signal.addEventListener("abort", () => done(), { once: true }));
  world.sinks.delete(sink);
}

async function start(world: World, request: StartRequest): Promise<void> {
  const { options, entries } = world;
  const parts = partsOf(world, request.profile);
  const name = nameOf(request.key);
  for (let before = entries.get(name); before?.ending !== undefined; before = entries.get(name)) await before.ending;
  if (world.closed) throw new GatewayError("SHUTTING_DOWN", "Gatehouse is shutting down; try again");
  // From here to the new entry nothing waits: of many callers at once, one starts the driver.
  const before = entries.get(name);
  if (before !== undefined && before.failure === undefined) return;
  const present = [...entries.values()].filter((entry) => entry.failure === undefined).length;
  if (present >= options.maxDrivers) {
    throw new GatewayError("DRIVER_LIMIT", `${present} drivers are running, as many as this machine may hold`, {
      retryAfterMs: 5_000,
    });
  }
  if (before?.failure !== undefined) forget(world, before, "died", before.failure.summary);
  const entry = newEntry(newRecord(world, request, name, parts));
  try {
    persist(world, entry, {});
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    throw new GatewayError("DRIVER_FAILED", `the driver's state cannot be written (${code})`, { cause });
  }
  entries.set(name, entry);
  options.log.info("starting a driver", { driver: name, driver_uid: entry.record.uid, profile: request.profile });
  report(world, entry);
  entry.launching = launch(world, entry, parts);
}

function newRecord(world: World, request: StartRequest, name: string, parts: LaunchParts): DriverRecord {
  return {
    v: 1,
    uid: randomUUID(),
    name,
    key: request.key,
    owner: request.owner,
    ownerUser: request.ownerUser,
    sharedWithGroups: [...request.sharedWithGroups],
    profile: request.profile,
    phase: "starting",
    createdAt: world.options.clock.now(),
    ...(hasTokens(parts.profile.sparkVersion) ? { token: randomBytes(32).toString("base64url") } : {}),
  };
}

function partsOf({ options }: World, name: string): LaunchParts {
  const profile = Object.hasOwn(options.profiles, name) ? options.profiles[name] : undefined;
  if (profile === undefined) throw new GatewayError("DRIVER_FAILED", `there is no profile "${name}"`);
  const { sparkVersion } = profile;
  const installation = Object.hasOwn(options.installations, sparkVersion)
    ? options.installations[sparkVersion]
    : undefined;
  if (installation === undefined) {
    throw new GatewayError("DRIVER_FAILED", `Spark ${sparkVersion} of profile "${name}" is not installed here`);
  }
  if (!hasTokens(sparkVersion) && !profile.allowTokenless) {
    throw new GatewayError(
      "DRIVER_TOKENLESS",
      `Spark ${sparkVersion} cannot ask for a token, and profile "${name}" does not allow drivers without one`,
    );
  }
  return { profile, installation };
}

function find(world: World, ref: { readonly name: string; readonly uid: string }): Entry | undefined {
  const entry = world.entries.get(ref.name);
  return entry?.record.uid === ref.uid ? entry : undefined;
}

async function stop(world: World, entry: Entry, why: Draining["reason"]): Promise<void> {
  if (entry.failure !== undefined) {
    forget(world, entry, "stopped", `stopped: ${why}`);
    return;
  }
  if (entry.ending === undefined) {
    noteEnding(world, entry);
    entry.ending = end(world, entry, `stopped: ${why}`);
  }
  await entry.ending;
}

/** So that a restart finishes the stop. Where the disk is full the stop goes on without. */
function noteEnding(world: World, entry: Entry): void {
  try {
    persist(world, entry, { phase: "ending" });
  } catch (error) {
    world.options.log.warn("the order to stop could not be recorded", { driver_uid: entry.record.uid, error });
  }
}

async function close(world: World): Promise<void> {
  const { folder, keepDriversOnClose } = world.options;
  // First: a start that comes from now on is refused, or its driver would outlive us although none may.
  world.closed = true;
  const entries = [...world.entries.values()];
  if (!keepDriversOnClose) await Promise.all(entries.map((entry) => stop(world, entry, "deleted")));
  for (const entry of entries) entry.abort.abort(new Error("Gatehouse is shutting down"));
  await Promise.all(entries.map((entry) => entry.launching));
  for (const entry of world.entries.values()) {
    entry.process?.release();
    if (entry.process === undefined) removeRecord(folder, entry.record.uid);
  }
}
