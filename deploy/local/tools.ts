import { statfsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { connectJar } from "./connect-jar.ts";
import { InstallError } from "./install-error.ts";
import {
  type Installation,
  installedFolder,
  installOnce,
  isInstalled,
  type Progress,
  removeDrafts,
} from "./install-once.ts";
import { repositoryRoot } from "./layout.ts";
import { withLock } from "./lock.mjs";
import { envoyBinary, javaBinary, makePlan, type Plan } from "./tools-plan.ts";

/** Absolute paths of the pinned programs that Gatehouse's quick start and tests run. */
export interface Tools {
  readonly envoy: string;
  readonly java: string;
  /** Interpreter of the environment that holds PySpark 4.1 with Spark Connect, for clients and for driver workers. */
  readonly python: string;
  readonly sparkHome: string;
  readonly sparkVersion: string;
  /** The same for Spark 3.5, with the jar that its server needs besides; where wanted. */
  readonly spark35: SparkTools | undefined;
  /** Folder for PYTHONPATH with Envoy's published descriptors; where wanted. */
  readonly xdsProtos: string | undefined;
}

export interface SparkTools {
  readonly python: string;
  readonly sparkHome: string;
  readonly sparkVersion: string;
  readonly extraJars: readonly string[];
}

export type OptionalTool = "spark35" | "xdsProtos";

const neededBytes = 3_000_000_000;

/**
 * Installs what is missing below `<repository>/.cache/tools` (`$GATEHOUSE_CACHE/tools` where that is set) and returns where
 * everything is. Costs nothing when all is there. Safe to call from several processes at once.
 * @param progress told one line at a time, only while something is installed
 * @throws InstallError whose message is the one line to show
 */
export async function ensureTools(wanted: readonly OptionalTool[], progress: Progress): Promise<Tools> {
  const cache = cacheFolder();
  const tools = join(cache, "tools");
  const plan = makePlan({ cache, tools, repository: repositoryRoot });
  const list = [plan.java, plan.envoy, plan.spark41];
  if (wanted.includes("spark35")) list.push(plan.spark35, plan.jar);
  if (wanted.includes("xdsProtos")) list.push(plan.xdsProtos);
  if (!list.every((one) => isInstalled(tools, one))) await installAll({ cache, tools, plan, list, progress });
  const at = (installation: Installation, path: string) => join(installedFolder(tools, installation), path);
  return {
    envoy: at(plan.envoy, envoyBinary),
    java: at(plan.java, javaBinary),
    python: at(plan.spark41, "bin/python"),
    sparkHome: at(plan.spark41, "spark"),
    sparkVersion: "4.1.0",
    spark35: wanted.includes("spark35")
      ? {
          python: at(plan.spark35, "bin/python"),
          sparkHome: at(plan.spark35, "spark"),
          sparkVersion: "3.5.7",
          extraJars: [at(plan.jar, connectJar.file)],
        }
      : undefined,
    xdsProtos: wanted.includes("xdsProtos") ? installedFolder(tools, plan.xdsProtos) : undefined,
  };
}

/**
 * Installs the installer alone, for what is not one of the tools.
 * @returns the interpreter whose pip it is, for `pipInstall`
 * @throws InstallError
 */
export async function ensureInstaller(cache: string, progress: Progress): Promise<string> {
  const tools = join(cache, "tools");
  const plan = makePlan({ cache, tools, repository: repositoryRoot });
  if (!isInstalled(tools, plan.pip)) await installAll({ cache, tools, plan, list: [plan.pip], progress });
  return join(installedFolder(tools, plan.pip), "bin/python");
}

/** Where all that is installed or built lies. */
export function cacheFolder(): string {
  return resolve(process.env["GATEHOUSE_CACHE"] ?? join(repositoryRoot, ".cache"));
}

interface Job {
  readonly cache: string;
  readonly tools: string;
  readonly plan: Plan;
  readonly list: readonly Installation[];
  readonly progress: Progress;
}

async function installAll({ cache, tools, plan, list, progress }: Job): Promise<void> {
  try {
    for (const folder of ["home", "tmp", "tools"]) await mkdir(join(cache, folder), { recursive: true });
    const waiting = (pid: string) => progress(`Waiting for process ${pid}, which installs the same ...`);
    await withLock(join(cache, "tools.lock"), waiting, async () => {
      await removeDrafts(tools);
      const missing = list.filter((one) => !isInstalled(tools, one));
      if (missing.length === 0) return;
      checkDisk(cache);
      await installOnce(tools, plan.pip, progress);
      const bySelves = missing.filter((one) => one !== plan.spark35 && one !== plan.jar);
      const results = await Promise.allSettled(bySelves.map((one) => installOnce(tools, one, progress)));
      for (const result of results) if (result.status === "rejected") throw result.reason;
      // After the others: building two Sparks at once gains nothing on a small machine, and the jar needs both.
      for (const one of [plan.spark35, plan.jar]) if (missing.includes(one)) await installOnce(tools, one, progress);
      await rm(join(cache, "tmp"), { recursive: true, force: true });
    });
  } catch (error) {
    throw asInstallError(error, cache);
  }
}

function checkDisk(cache: string): void {
  const { bavail, bsize } = statfsSync(cache);
  if (bavail * bsize >= neededBytes) return;
  const free = ((bavail * bsize) / 1e9).toFixed(1);
  throw new InstallError(`too little disk space below ${cache}: ${free} GB free, ${neededBytes / 1e9} GB needed`);
}

function asInstallError(error: unknown, cache: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOSPC") return new InstallError(`no disk space left below ${cache}`);
  if (code === "EACCES" || code === "EROFS" || code === "EPERM") {
    return new InstallError(`cannot write below ${cache}: set GATEHOUSE_CACHE to a folder that can be written`);
  }
  return error;
}
