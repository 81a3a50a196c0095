import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** A folder to be filled once, and never changed again. */
export interface Installation {
  /** What people read: "Spark 4.1". */
  readonly title: string;
  /** The folder's name without its hash. */
  readonly name: string;
  /** All that decides on the content; another text is another folder. */
  readonly pins: string;
  /** Files and links in the finished folder that must be there: an interpreter may have been uninstalled since. */
  readonly probes: readonly string[];
  /** Fills a new folder that is moved to its final place afterwards: nothing in it may depend on its path. */
  readonly fill: (folder: string) => Promise<void>;
}

export type Progress = (line: string) => void;

/** The folder of that installation below `tools`, finished or not. */
export function installedFolder(tools: string, { name, pins }: Installation): string {
  const made = `${process.platform} ${process.arch}\n${pins}`;
  return join(tools, `${name}-${createHash("sha256").update(made).digest("hex").slice(0, 16)}`);
}

export function isInstalled(tools: string, installation: Installation): boolean {
  const folder = installedFolder(tools, installation);
  return installation.probes.every((probe) => existsSync(join(folder, probe)));
}

const draftPrefix = ".making-";

/** Makes the folder where it is not there; the caller holds the lock. A reader sees the whole folder or none. */
export async function installOnce(tools: string, installation: Installation, progress: Progress): Promise<void> {
  if (isInstalled(tools, installation)) return;
  const folder = installedFolder(tools, installation);
  const draft = join(tools, `${draftPrefix}${installation.name}-${randomBytes(4).toString("hex")}`);
  const begun = Date.now();
  const seconds = () => ((Date.now() - begun) / 1000).toFixed(0);
  progress(`Installing ${installation.title} ...`);
  const still = setInterval(() => progress(`Still installing ${installation.title} (${seconds()} s) ...`), 15_000);
  try {
    await mkdir(draft, { recursive: true });
    await installation.fill(draft);
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder);
  } finally {
    clearInterval(still);
    await rm(draft, { recursive: true, force: true });
  }
  progress(`Installed ${installation.title} in ${seconds()} s`);
}

/** Removes what an installation that was cut off left behind; the caller holds the lock. */
export async function removeDrafts(tools: string): Promise<void> {
  for (const entry of await readdir(tools)) {
    if (entry.startsWith(draftPrefix)) await rm(join(tools, entry), { recursive: true, force: true });
  }
}
