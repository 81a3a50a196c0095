import { closeSync, fstatSync, openSync, readdirSync, readSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Secret } from "../../kernel/secret.ts";

const tailBytes = 65_536;
const maxLineLength = 500;
const maxTailLines = 20;

export interface LogEnd {
  /** The last lines, newest last, at most 20. */
  readonly tail: readonly string[];
  /** The line that says why the driver ended, as far as one does. */
  readonly cause: string | undefined;
}

/** What the end of a driver's log says; its token is blotted out. A log that is not there says nothing. */
export function readLogEnd(file: string, token: Secret | undefined): LogEnd {
  const text = lastBytes(file);
  return interpretLog(token === undefined ? text : text.replaceAll(token.reveal(), "[redacted]"));
}

/** Stack frames are left out: they push what people can read out of the last lines. */
export function interpretLog(text: string): LogEnd {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^\s+(at |\.\.\. \d+ more)/.test(line));
  return {
    tail: lines.slice(-maxTailLines).map((line) => line.slice(0, maxLineLength)),
    cause: findCause(lines)?.slice(0, maxLineLength),
  };
}

/**
 * The root cause of the exception that ended the main thread; else Java's or Spark's own complaint; else the last line that
 * says "error". What the shutdown complains about afterwards is never the cause.
 */
function findCause(lines: readonly string[]): string | undefined {
  const main = lines.findLastIndex((line) => uncaught.test(line));
  if (main >= 0) {
    const after = lines.slice(main + 1);
    const logged = after.findIndex((line) => loggedLine.test(line));
    const block = [lines[main] ?? "", ...(logged < 0 ? after : after.slice(0, logged))];
    const root = block.findLast((line) => line.startsWith("Caused by: ")) ?? block[0] ?? "";
    return root.replace(uncaught, "").replace("Caused by: ", "").replace(packages, "").trim();
  }
  const complaint = lines.findIndex((line) => /^(Error|Invalid|Unrecognized|Could not)\b/.test(line));
  if (complaint >= 0) {
    const next = lines[complaint + 1];
    const isHalf = lines[complaint]?.endsWith("initialization of VM") === true && next !== undefined;
    return isHalf ? `${lines[complaint]}: ${next}` : lines[complaint];
  }
  return lines.findLast((line) => /\bERROR\b|OutOfMemoryError/.test(line));
}

const uncaught = /^Exception in thread "main" /;
/** A line of Spark's log starts with its date. */
const loggedLine = /^\d\d\/\d\d\/\d\d /;
/** The package in front of an exception's class name. */
const packages = /^(?:[a-z_][\w$]*\.)+(?=[A-Z])/;

function lastBytes(file: string): string {
  let handle: number | undefined;
  try {
    handle = openSync(file, "r");
    const { size } = fstatSync(handle);
    const bytes = Buffer.alloc(Math.min(size, tailBytes));
    const read = readSync(handle, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString("utf8", 0, read);
  } catch {
    return "";
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}

/** Removes the oldest logs, but none of a driver that is still there. */
export function pruneLogs(folder: string, keep: number, running: ReadonlySet<string>): void {
  const ended = readdirSync(join(folder, "logs"))
    .filter((file) => !running.has(file.split(".").at(-2) ?? ""))
    .map((file) => join(folder, "logs", file))
    .map((path) => ({ path, at: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .toSorted((a, b) => b.at - a.at);
  for (const { path } of ended.slice(keep)) rmSync(path, { force: true });
}
