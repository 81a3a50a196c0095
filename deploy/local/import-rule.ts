import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const fixture = "test/fixtures/import-violation";

interface Diagnostics {
  readonly diagnostics: readonly { readonly code: string; readonly filename: string }[];
}

/**
 * Lints the deliberate violations with the project's own configuration, in a folder where they stand in the places that
 * they mirror. Each file of the fixture holds one forbidden import, except those named `allowed.ts`, which hold none.
 * @returns what is wrong with the rule, one line each; nothing where it catches every violation and nothing else
 */
export function importRuleFaults(): string[] {
  const place = mkdtempSync(join(tmpdir(), "gatehouse-import-rule-"));
  try {
    cpSync(fixture, place, { recursive: true });
    cpSync(".oxlintrc.json", join(place, ".oxlintrc.json"));
    const run = spawnSync(resolve("node_modules/.bin/oxlint"), ["--format=json", "src"], {
      cwd: place,
      encoding: "utf8",
    });
    const { diagnostics } = JSON.parse(run.stdout) as Diagnostics;
    const caught = new Set(
      diagnostics.filter(({ code }) => code.includes("no-restricted-imports")).map(({ filename }) => filename),
    );
    const files = readdirSync(place, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
    if (files.length === 0) return [`${fixture} holds no violations`];
    return files.flatMap((file) => {
      const forbidden = !file.endsWith("allowed.ts");
      if (forbidden === caught.has(file)) return [];
      return [`${fixture}/${file}: ${forbidden ? "a forbidden import is not caught" : "an allowed import is refused"}`];
    });
  } finally {
    rmSync(place, { recursive: true });
  }
}
