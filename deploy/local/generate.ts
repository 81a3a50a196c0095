import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { auditSchema } from "../../src/decisions/audit-schema.ts";
import { openApi } from "../../src/edges/http/routes.ts";
import { auditPage, configurationPage, httpPage, metricsPage, reasonsPage } from "./reference-pages.ts";

// `npm run generate`: writes docs/reference/ from the tables in src/. With --check it writes nothing and fails where a
// file differs from what it would write.

const json = (path: string, value: object): string => {
  const written = JSON.stringify(value, null, 2);
  const formatted = spawnSync("node_modules/.bin/biome", ["format", `--stdin-file-path=${path}`], {
    input: written,
    encoding: "utf8",
  });
  if (formatted.status !== 0) throw new Error(`biome cannot format ${path}: ${formatted.stderr}`);
  return formatted.stdout;
};

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };

const files: Readonly<Record<string, () => string>> = {
  "docs/reference/configuration.md": configurationPage,
  "docs/reference/metrics.md": metricsPage,
  "docs/reference/reasons.md": reasonsPage,
  "docs/reference/audit.md": auditPage,
  "docs/reference/audit.schema.json": () => json("docs/reference/audit.schema.json", auditSchema),
  "docs/reference/http.md": httpPage,
  "docs/reference/openapi.json": () => json("docs/reference/openapi.json", openApi(version)),
};

/** The first lines that differ, as a person would look for them. */
function difference(path: string, wanted: string): string | undefined {
  if (!existsSync(path)) return `${path}: missing`;
  const found = readFileSync(path, "utf8");
  if (found === wanted) return undefined;
  const [left, right] = [found.split("\n"), wanted.split("\n")];
  const line = right.findIndex((text, i) => text !== left[i]);
  const at = line === -1 ? right.length : line;
  return `${path}:${at + 1}\n  - ${left[at] ?? "(end)"}\n  + ${right[at] ?? "(end)"}`;
}

const checking = process.argv.includes("--check");
const differences: string[] = [];
for (const [path, make] of Object.entries(files)) {
  const wanted = make();
  const differs = difference(path, wanted);
  if (differs === undefined) continue;
  differences.push(differs);
  if (checking) continue;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, wanted);
  process.stdout.write(`wrote ${path}\n`);
}
if (checking && differences.length > 0) {
  process.stderr.write(`${differences.join("\n")}\nOut of date: run npm run generate and commit the result.\n`);
  process.exitCode = 1;
}
