import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endLeftoverDrivers } from "../../deploy/local/leftover-drivers.ts";
import { createFirstCall } from "../../src/edges/driver/first-call.ts";
import type { LocalProfile, LocalRuntimeOptions } from "../../src/edges/local/options.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { driverAddresses } from "./ports.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { testTools } from "./tools.ts";

/** A folder, addresses and profiles for local runtimes of one test. */
export interface LocalWorld {
  readonly options: LocalRuntimeOptions;
  readonly log: readonly LogLine[];
  /** Ends what the runtimes left, and removes the folder. */
  readonly dispose: () => Promise<void>;
}

export const smallProfile: LocalProfile = {
  sparkVersion: "4.1.0",
  driverMemory: "1g",
  driverCores: 2,
  sparkConf: {},
  allowTokenless: false,
};

/** Real Spark. Profiles: `default`, `broken` (a plugin that is not there), `old` (Spark 3.5, which is not installed). */
export async function sparkWorld(): Promise<LocalWorld> {
  const tools = await testTools();
  return await localWorld({
    java: tools.java,
    installations: { "4.1.0": { sparkHome: tools.sparkHome, python: tools.python } },
    profiles: {
      default: smallProfile,
      broken: { ...smallProfile, sparkConf: { "spark.plugins": "no.such.Plugin" } },
    },
  });
}

/**
 * A shell script in Java's place: real processes that never listen, for all that is not about Spark.
 * @param script what it does; $@ are Java's arguments
 */
export async function scriptWorld(script: string, more: Partial<LocalRuntimeOptions> = {}): Promise<LocalWorld> {
  const folder = await mkdtemp(join(tmpdir(), "gatehouse-java-"));
  const java = join(folder, "java");
  await writeFile(java, `#!/bin/sh\n${script}\n`);
  await chmod(java, 0o700);
  const world = await localWorld({
    java,
    installations: { "4.1.0": { sparkHome: folder, python: "python3" } },
    profiles: { default: smallProfile },
    ...more,
  });
  return {
    ...world,
    async dispose() {
      await world.dispose();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

type Needed = Pick<LocalRuntimeOptions, "java" | "installations" | "profiles"> & Partial<LocalRuntimeOptions>;

async function localWorld(needed: Needed): Promise<LocalWorld> {
  const folder = await mkdtemp(join(tmpdir(), "gatehouse-drivers-"));
  const log: LogLine[] = [];
  return {
    options: {
      folder,
      ...(await driverAddresses()),
      failureMemoryMs: 1_000,
      stopGraceMs: 5_000,
      firstCall: createFirstCall(),
      clock: systemClock,
      log: recordingLog(log),
      ...needed,
    },
    log,
    async dispose() {
      await endLeftoverDrivers(folder);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
