import { createHash } from "node:crypto";

/** SHA-256 of the text, in lower-case hex. */
export const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The owner as the value of a label: what a user is called may hold characters that labels cannot. */
export const ownerHash = (owner: string): string => sha256(owner).slice(0, 32);

/** JSON in which the order of keys says nothing; what is undefined is left out, as in JSON. */
export function stableJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
