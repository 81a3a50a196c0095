import { readFileSync } from "node:fs";
import { startTimeOf } from "../../src/edges/local/process-identity.ts";

/** Whether there is a process with that id; its unreaped remains do not count. */
export const isRunning = (pid: number): boolean => startTimeOf(pid) !== undefined;

/** All that everyone on the machine can read of a process's arguments. */
export const argumentsOf = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
