import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Tools } from "../../../deploy/local/tools.ts";
import { endProcess, endSession, startProcess } from "../../../src/edges/local/driver-process.ts";
import { type JavaCommand, javaCommand } from "../../../src/edges/local/java-command.ts";
import type { ContainerCommand } from "./kubelet-env.ts";
import { type SparkLaunch, sparkLaunch } from "./kubelet-spark.ts";
import type { AgentContainer } from "./kubelet-types.ts";

/** How a container ended, as a kubelet reports it. */
export interface Terminated {
  readonly exitCode: number;
  readonly reason: "Completed" | "Error" | "OOMKilled";
}

/** The process that stands for a container. */
export interface PodProcess {
  readonly pid: number;
  /** Where it listens, if it is a Spark Connect server. */
  readonly port: number | undefined;
  /** Resolves when it and all that it started have ended. */
  readonly ended: Promise<Terminated>;
  /** SIGTERM, and SIGKILL after `graceMs`. Resolves when nothing is left of it. */
  end(graceMs: number): Promise<void>;
  /** SIGKILL at once. */
  kill(): Promise<void>;
}

export interface PodProcessOptions {
  readonly tools: Tools;
  /** Arguments that make Java start faster; for Spark 4.1 only. */
  readonly javaArguments: readonly string[];
  /** For what the container writes; its own. */
  readonly folder: string;
  readonly logFile: string;
  readonly uid: string;
  readonly ip: string;
  readonly container: AgentContainer;
  readonly command: ContainerCommand;
}

/** Whether that word is part of an image's name; by it a test says what shall become of the container. */
export const isImage = (image: string, word: string): boolean => new RegExp(`\\b${word}\\b`).test(image);

/**
 * Starts what the image and the command ask for: a real Spark Connect server; for an image with "crash" or "oom" in its
 * name a process that ends soon; for everything else one that waits. Output goes to the log file.
 */
export async function startPodProcess(options: PodProcessOptions): Promise<PodProcess> {
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const image = options.container.image ?? "";
  const oom = isImage(image, "oom");
  const spark = oom || isImage(image, "crash") ? undefined : sparkLaunch(options.container, options.command);
  const [program, command] =
    spark === undefined ? ["/bin/sh", script(image, options.folder)] : [options.tools.java, java(options, spark)];
  const child = await startProcess(program, command, options.folder, options.logFile);
  const { identity } = child;
  return {
    pid: identity.pid,
    port: spark?.port,
    ended: child.ended.then(async ({ code, signal }) => {
      await endSession(identity.pid);
      const exitCode = code ?? (signal === "SIGTERM" ? 143 : 137);
      return { exitCode, reason: exitCode === 0 ? "Completed" : oom ? "OOMKilled" : "Error" };
    }),
    async end(graceMs) {
      await endProcess(identity, graceMs);
      await child.ended;
    },
    async kill() {
      signalGroup(identity.pid);
      await child.ended;
    },
  };
}

function java(
  { tools, javaArguments, folder, uid, ip, container }: PodProcessOptions,
  spark: SparkLaunch,
): JavaCommand {
  const old = /[:-]3\.5/.test(container.image ?? "") ? tools.spark35 : undefined;
  const command = javaCommand({
    uid,
    folder,
    ownFolder: folder,
    address: { host: ip, port: spark.port },
    token: undefined,
    profile: {
      sparkVersion: old?.sparkVersion ?? tools.sparkVersion,
      driverMemory: spark.heap,
      driverCores: 1,
      sparkConf: { "spark.app.name": uid, ...spark.conf },
      allowTokenless: true,
    },
    installation: old ?? { sparkHome: tools.sparkHome, python: tools.python, javaArguments },
  });
  return { args: command.args, env: { ...command.env, ...spark.env } };
}

function script(image: string, folder: string): JavaCommand {
  const lines = isImage(image, "oom")
    ? ["echo 'java.lang.OutOfMemoryError: the heap is not what killed this'", "kill -KILL $$"]
    : isImage(image, "crash")
      ? ["echo 'starting'", "echo 'ERROR cannot load the plugin'", "echo 'bye' >&2", "exit 1"]
      : ["echo 'waiting'", "exec sleep 100000"];
  return { args: ["-c", lines.join("\n")], env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: folder } };
}

/** A container's folder and log, by its restarts. */
export function containerFiles(root: string, uid: string, restarts: number): { folder: string; logFile: string } {
  return { folder: join(root, uid), logFile: join(root, `${uid}-${restarts}.log`) };
}

/** SIGKILL for a process that leads its group, and for the group. */
export function signalGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // It has ended in between.
  }
}
