import { safeLine, without } from "./causes-text.ts";

const maxTailLines = 20;
const maxLineLength = 500;

/** The last lines as the owner may see them: at most 20, without the driver's token. */
export function logLines(lines: readonly string[], token: string | undefined): readonly string[] {
  return lines.slice(-maxTailLines).map((line) => without(token, line).slice(0, maxLineLength));
}

/**
 * The line of a log, or of an operator's message with a stack trace in it, that says why Spark ended: the root cause of
 * the exception that ended the main thread; else Java's or Spark's own complaint; else the last line that says "error";
 * else the last line. Undefined where there is none. Known
 * secrets must be blotted out before.
 */
export function meaningfulLine(lines: readonly string[]): string | undefined {
  const kept = lines.filter((line) => line.trim() !== "" && !/^\s+(at |\.\.\. \d+ more)/.test(line));
  const line = mainThread(kept) ?? complaint(kept) ?? kept.findLast((one) => errors.test(one)) ?? kept.at(-1);
  return line === undefined ? undefined : safeLine(line, 300);
}

const uncaught = /^Exception in thread "main" /;
/** A line of Spark's log starts with its date. */
const loggedLine = /^\d\d\/\d\d\/\d\d /;
/** The package in front of an exception's class name. */
const packages = /^(?:[a-z_][\w$]*\.)+(?=[A-Z])/;
const errors = /\bERROR\b|OutOfMemoryError/;

/** What the shutdown complains about after it is never the cause. */
function mainThread(lines: readonly string[]): string | undefined {
  const main = lines.findLastIndex((line) => uncaught.test(line));
  if (main < 0) return undefined;
  const after = lines.slice(main + 1);
  const logged = after.findIndex((line) => loggedLine.test(line));
  const block = [lines[main] ?? "", ...(logged < 0 ? after : after.slice(0, logged))];
  const root = block.findLast((line) => line.startsWith("Caused by: ")) ?? block[0] ?? "";
  return root.replace(uncaught, "").replace("Caused by: ", "").replace(packages, "").trim();
}

function complaint(lines: readonly string[]): string | undefined {
  const at = lines.findIndex((line) => /^(Error|Invalid|Unrecognized|Could not)\b/.test(line));
  const next = lines[at + 1];
  if (at < 0 || next === undefined || lines[at]?.endsWith("initialization of VM") !== true) return lines[at];
  return `${lines[at]}: ${next}`;
}
