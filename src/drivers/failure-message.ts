import type { DriverFailure } from "./driver.ts";

/** All that a client is told about a failed start, in UTF-8 bytes: it travels twice in headers that hold 6 KiB. */
export const maxFailureMessageBytes = 2_048;

/**
 * The cause of a failed start for the person who waits: the summary, then as many of the last log lines as fit, oldest
 * first. Control characters are removed: they would break a header or a terminal.
 */
export function failureMessage(failure: Pick<DriverFailure, "summary" | "logTail">): string {
  const summary = cut(clean(failure.summary), maxFailureMessageBytes);
  let left = maxFailureMessageBytes - utf8Length(summary);
  const lines: string[] = [];
  for (const raw of failure.logTail.toReversed()) {
    const line = clean(raw);
    const size = utf8Length(line) + 1;
    if (size > left) break;
    left -= size;
    lines.unshift(line);
  }
  return [summary, ...lines].join("\n");
}

function clean(text: string): string {
  return text
    .replace(/\p{Cc}\[[0-9;]*[A-Za-z]/gu, "")
    .replace(/\p{Cc}+/gu, " ")
    .trimEnd();
}

function cut(text: string, maxBytes: number): string {
  let size = 0;
  let kept = "";
  for (const character of text) {
    size += utf8Length(character);
    if (size > maxBytes) break;
    kept += character;
  }
  return kept;
}

function utf8Length(text: string): number {
  let size = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x80) size += 1;
    else if (code < 0x800) size += 2;
    else size += code < 0x10000 ? 3 : 4;
  }
  return size;
}
