import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";

/** Writes a file that only this user may read, and swaps it in whole: a reader sees the old content or the new one. */
export function writePrivateFile(path: string, content: string): void {
  privateFolder(dirname(path));
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  writeFileSync(draft, content, { mode: 0o600, flag: "wx" });
  renameSync(draft, path);
}

/** Makes the folder (and its parents) where missing, and closes it to other users. */
export function privateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}

/** The file's text, or undefined where there is no such file. Any other fault is thrown. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
