const maxSummaryLength = 500;

/**
 * One line of printable ASCII, at most `max` characters (500 unless told), without what looks like a secret: a token, a
 * password in a URL, the value of a setting whose name says so.
 */
export function safeLine(text: string, max: number = maxSummaryLength): string {
  const line = text
    // Before anything costly is searched in it.
    .slice(0, 8_192)
    .replace(/\p{Cc}\[[0-9;]*[A-Za-z]/gu, "")
    .replace(/\s+/g, " ")
    .replace(/[\u2018\u2019]/g, "'")
    .replace(/[\u201c\u201d]/g, '"')
    .replace(/[^\x20-\x7e]/g, "?")
    .trim();
  return cut(withoutSecrets(line), max);
}

function cut(line: string, max: number): string {
  return line.length <= max ? line : `${line.slice(0, max - 3)}...`;
}

function withoutSecrets(line: string): string {
  return line
    .replace(/\beyJ[\w-]{6,}(?:\.[\w-]*){0,4}/g, "[redacted]")
    .replace(/(:\/\/)[^\s/@]{1,256}@/g, "$1[redacted]@")
    .replace(/\b(bearer|basic) [\w.~+/=-]{8,}/gi, "$1 [redacted]")
    .replace(
      /((?:password|passwd|token|secret|credential|access[-_.]?key|api[-_.]?key)["']?(?: is)?\s?[=:]\s?["']?)[^\s"',;)]{6,}/gi,
      "$1[redacted]",
    );
}

/** Blots a known secret out, also where it is written in base64. One of less than 8 characters is none. */
export function without(secret: string | undefined, text: string): string {
  if (secret === undefined || secret.length < 8) return text;
  return text.replaceAll(secret, "[redacted]").replaceAll(Buffer.from(secret).toString("base64"), "[redacted]");
}
