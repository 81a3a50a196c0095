import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { repositoryRoot } from "../../deploy/local/layout.ts";
import { type ProfileRecord, renderProfile } from "./profile.ts";
import type { ScenarioRecord } from "./record.ts";
import { renderPlots, renderReport } from "./report.ts";

const page = join(repositoryRoot, "docs/performance.md");
const folder = join(repositoryRoot, "docs/performance");
const recordFile = (id: string): string => join(folder, `${id}.json`);

/** Replaces what is known of that scenario. */
export async function writeRecord(record: ScenarioRecord): Promise<void> {
  await writeJson(recordFile(record.id), record);
}

/** Replaces what is known of where the time goes. */
export async function writeProfile(profile: ProfileRecord): Promise<void> {
  await writeJson(recordFile("profile"), profile);
}

/** Writes the page and the plots anew from all records there are, in that order of scenarios. */
export async function writeReport(ids: readonly string[]): Promise<void> {
  const records = ids.flatMap((id) => readJson(recordFile(id)) as readonly ScenarioRecord[]);
  const profiles = readJson(recordFile("profile")) as readonly ProfileRecord[];
  for (const record of records) {
    for (const [name, svg] of renderPlots(record)) await writeFile(join(folder, name), svg);
  }
  await writeFile(page, renderReport(records, profiles.map(renderProfile)));
}

async function writeJson(file: string, value: object): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(file, `${JSON.stringify(value, undefined, 2)}\n`);
}

/** What that file holds; nothing where there is none. */
const readJson = (file: string): readonly unknown[] =>
  existsSync(file) ? [JSON.parse(readFileSync(file, "utf8"))] : [];
