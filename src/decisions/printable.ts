const lineBreaks = /[\r\n\t]/gu;
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/gu;
/** Nothing to replace: almost every text there is. */
const plain = /^[ -~]*$/;

/** The first `max` UTF-16 units of a text, without half a character at the end; "…" is the last one where something was cut. */
export function clipped(text: string, max: number): string {
  if (text.length <= max) return text;
  const end = text.charCodeAt(max - 2) >= 0xd800 && text.charCodeAt(max - 2) <= 0xdbff ? max - 2 : max - 1;
  return `${text.slice(0, end)}…`;
}

/**
 * A text that can be shown to a person and logged: one line, no control, format or private characters (they could move
 * the cursor or reorder what is read), at most `max` UTF-16 units. Line breaks become spaces, other oddities "?".
 */
export function printable(text: string, max: number): string {
  if (text.length <= max && plain.test(text)) return text;
  return clipped(
    text
      .slice(0, max + 1)
      .replace(lineBreaks, " ")
      .replace(unprintable, "?"),
    max,
  );
}

/** Like {@link printable}, but line breaks stay. For messages with a driver's last log lines. */
export function printableLines(text: string, max: number): string {
  if (text.length <= max && plain.test(text)) return text;
  return clipped(
    text
      .slice(0, max + 1)
      .replace(/\r\n?/gu, "\n")
      .replace(/\t/gu, " ")
      .replace(/[^\n\P{C}]|[\p{Zl}\p{Zp}]/gu, "?"),
    max,
  );
}
