import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** Names a process for good: an id is used again, an id with its start time is not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In the system's own words; compare for equality, nothing else. */
  readonly startTime: string;
}

const hasProc = process.platform === "linux";

/** Fields of /proc/<pid>/stat from the third on: the second is the command and may hold blanks and brackets. */
function statFields(pid: number | string): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

/** When that process started; undefined where there is none, or only its unreaped remains. */
export function startTimeOf(pid: number): string | undefined {
  if (!hasProc) return ps(["-o", "lstart=", "-p", String(pid)])[0];
  const fields = statFields(pid);
  return fields === undefined || fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

export function isAlive(identity: ProcessIdentity): boolean {
  return startTimeOf(identity.pid) === identity.startTime;
}

/** The members of the session that this process leads, itself included; only the leader where the system does not tell. */
export function sessionMembers(leader: number): readonly number[] {
  if (!hasProc) return [leader];
  const session = String(leader);
  return processIds().filter((pid) => {
    const fields = statFields(pid);
    return fields !== undefined && fields[0] !== "Z" && fields[3] === session;
  });
}

export interface FoundProcess extends ProcessIdentity {
  readonly uid: string;
}

/** Running drivers of the runtime on that folder, by what they were started with; see `java-command.ts`. */
export function findDriverProcesses(marks: (uid: string) => readonly string[]): readonly FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const { pid, args } of commandLines()) {
    const uid = /-Dgatehouse\.uid=([0-9a-f-]{36})/.exec(args)?.[1];
    if (uid === undefined || !marks(uid).every((mark) => args.includes(mark))) continue;
    const startTime = startTimeOf(pid);
    if (startTime !== undefined) found.push({ pid, startTime, uid });
  }
  return found;
}

function commandLines(): readonly { readonly pid: number; readonly args: string }[] {
  if (!hasProc) {
    return ps(["-axww", "-o", "pid=,command="]).map((line) => ({
      pid: Number.parseInt(line, 10),
      args: `${line.replace(/^\s*\d+\s+/, "").replaceAll(" ", "\0")}\0`,
    }));
  }
  return processIds().flatMap((pid) => {
    try {
      return [{ pid, args: readFileSync(`/proc/${pid}/cmdline`, "utf8") }];
    } catch {
      return [];
    }
  });
}

const processIds = (): readonly number[] =>
  readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);

function ps(args: readonly string[]): readonly string[] {
  try {
    const text = execFileSync("ps", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return text.split("\n").filter((line) => line.trim() !== "");
  } catch {
    return [];
  }
}
