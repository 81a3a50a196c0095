import { randomBytes, randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { javaCommand } from "../../src/edges/local/java-command.ts";
import { type Installation, installedFolder, installOnce, isInstalled } from "./install-once.ts";
import { repositoryRoot } from "./layout.ts";
import { withLock } from "./lock.mjs";
import { plainEnvironment } from "./parts.ts";
import { freePort } from "./ports.ts";
import { startChild } from "./processes.ts";
import { runProgram } from "./programs.ts";
import type { Progress } from "./progress.ts";
import type { Tools } from "./tools.ts";

const base = "java.jsa";
const top = "spark.jsa";
const training = join(repositoryRoot, "deploy/local/class_archive_training.py");

/**
 * Arguments for a driver's Java that make it start in about half the time: an archive of the classes that a Spark Connect
 * server loads, ready to be mapped into memory. Made once for one Java and one Spark (about 40 s and 220 MB), by running
 * a first session. Java ignores an archive that does not fit. Where it cannot be made there are no arguments: Spark runs
 * without, only slower.
 */
export async function classArchiveArguments(tools: Tools, progress: Progress): Promise<readonly string[]> {
  const folder = dirname(dirname(tools.sparkHome));
  const archive: Installation = {
    title: "a class archive, so that Spark starts faster",
    name: `classes-${tools.sparkVersion}`,
    pins: `${tools.java}\n${tools.sparkHome}\n${readFileSync(training, "utf8")}`,
    probes: [base, top],
    fill: async (draft) => await makeArchive(tools, draft),
  };
  if (!isInstalled(folder, archive)) {
    try {
      await withLock(
        join(folder, "classes.lock"),
        (pid) => progress(`Waiting for process ${pid}, which makes the class archive ...`),
        async () => await installOnce(folder, archive, progress),
      );
    } catch (error) {
      const [line] = (error as Error).message.split("\n");
      progress(`Going on without a class archive: ${line}`);
      return [];
    }
  }
  const at = (name: string) => join(installedFolder(folder, archive), name);
  return [`-XX:SharedArchiveFile=${at(base)}:${at(top)}`, "-Xlog:cds=off", "-Xlog:cds+dynamic=off"];
}

async function makeArchive(tools: Tools, draft: string): Promise<void> {
  const env = plainEnvironment();
  const dump = ["-XX:+UseSerialGC", "-Xshare:dump", `-XX:SharedArchiveFile=${join(draft, base)}`];
  const dumped = await runProgram(tools.java, dump, { cwd: draft, env, timeoutMs: 60_000 });
  if (dumped.code !== 0) throw new Error(`java -Xshare:dump failed (exit code ${dumped.code})`);
  const ownFolder = join(draft, "training");
  for (const name of ["tmp", "local"]) await mkdir(join(ownFolder, name), { recursive: true, mode: 0o700 });
  const [port, token] = [await freePort(), randomBytes(24).toString("base64url")];
  const archives = [`-XX:SharedArchiveFile=${join(draft, base)}`, `-XX:ArchiveClassesAtExit=${join(draft, top)}`];
  const command = javaCommand({
    uid: randomUUID(),
    folder: draft,
    ownFolder,
    address: { host: "127.0.0.1", port },
    token,
    profile: {
      sparkVersion: tools.sparkVersion,
      driverMemory: "1g",
      driverCores: 2,
      sparkConf: {},
      allowTokenless: false,
    },
    installation: { sparkHome: tools.sparkHome, python: tools.python, javaArguments: archives },
  });
  const server = await startChild({
    name: "Spark",
    command: tools.java,
    ...command,
    cwd: ownFolder,
    logFile: join(ownFolder, "spark.log"),
  });
  const kill = (): void => server.signal("SIGKILL");
  process.once("exit", kill);
  try {
    await train(tools.python, `sc://localhost:${port}/;token=${token}`);
  } finally {
    // It writes the archive when it is asked to end.
    await server.stop(60_000);
    process.off("exit", kill);
  }
  await rm(ownFolder, { recursive: true, force: true });
  if (!existsSync(join(draft, top))) throw new Error("Java wrote no class archive");
}

async function train(python: string, url: string): Promise<void> {
  const options = { cwd: repositoryRoot, env: plainEnvironment(), timeoutMs: 240_000 };
  const { code, stderr } = await runProgram(python, [training], { ...options, input: Promise.resolve(`${url}\n`) });
  if (code !== 0) throw new Error(`the first session failed: ${stderr.trim().split("\n").at(-1) ?? ""}`);
}
