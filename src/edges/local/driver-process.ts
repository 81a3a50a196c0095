import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { JavaCommand } from "./java-command.ts";
import { isAlive, type ProcessIdentity, sessionMembers, startTimeOf } from "./process-identity.ts";

export interface ProcessEnd {
  /** Absent where the system did not tell: a process that was adopted, or that a signal ended. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

/** A driver's process, made by us or found again. */
export interface DriverProcess {
  readonly identity: ProcessIdentity;
  /** Resolves when it has ended, however it ended. */
  readonly ended: Promise<ProcessEnd>;
  /** Stops looking; the process goes on. */
  release(): void;
}

/**
 * Starts Java in a session of its own, so that it outlives us, with its output in the log file.
 * @throws Error when the program cannot be started at all
 */
export async function startProcess(
  java: string,
  { args, env }: JavaCommand,
  ownFolder: string,
  log: string,
): Promise<DriverProcess> {
  for (const name of ["tmp", "local"]) mkdirSync(join(ownFolder, name), { recursive: true, mode: 0o700 });
  const output = openSync(log, "a", 0o600);
  try {
    const child = spawn(java, args, { cwd: ownFolder, env, detached: true, stdio: ["ignore", output, output] });
    const ended = new Promise<ProcessEnd>((resolve) => {
      child.once("exit", (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (cause) => reject(new Error(`cannot start ${java}: ${cause.message}`, { cause })));
    });
    child.unref();
    const pid = child.pid ?? 0;
    return { identity: { pid, startTime: startTimeOf(pid) ?? "" }, ended, release: () => undefined };
  } finally {
    closeSync(output);
  }
}

/** Follows a process that is not our child, by looking every `pollMs`. */
export function adoptProcess(identity: ProcessIdentity, pollMs: number): DriverProcess {
  let timer: NodeJS.Timeout | undefined;
  const ended = new Promise<ProcessEnd>((resolve) => {
    timer = setInterval(() => {
      if (isAlive(identity)) return;
      clearInterval(timer);
      resolve({ code: undefined, signal: undefined });
    }, pollMs);
    timer.unref();
  });
  return { identity, ended, release: () => clearInterval(timer) };
}

/**
 * Ends that process and all that it started: SIGTERM to its group, SIGKILL when it is still there after `graceMs`. Resolves
 * when they are gone. Does nothing where the process has ended or its id names another one by now.
 */
export async function endProcess(identity: ProcessIdentity, graceMs: number): Promise<void> {
  if (!isAlive(identity)) return;
  signalGroup(identity.pid, "SIGTERM");
  const kill = Date.now() + graceMs;
  while (isAlive(identity)) {
    if (Date.now() >= kill) signalGroup(identity.pid, "SIGKILL");
    await delay(20);
  }
  await endSession(identity.pid);
}

/**
 * Ends what a driver that is gone has left: Python workers lead groups of their own in its session. The session's id stays
 * taken as long as it has a member, so it is still the driver's unless a process has that id again.
 */
export async function endSession(leader: number): Promise<void> {
  while (startTimeOf(leader) === undefined) {
    const left = sessionMembers(leader).filter((pid) => pid !== leader);
    if (left.length === 0) return;
    for (const pid of left) signal(pid, "SIGKILL");
    await delay(20);
  }
}

const signalGroup = (leader: number, name: NodeJS.Signals): void => signal(-leader, name);

function signal(target: number, name: NodeJS.Signals): void {
  try {
    process.kill(target, name);
  } catch {
    // It has ended in between.
  }
}
