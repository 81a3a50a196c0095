import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { importRuleFaults } from "./import-rule.ts";

// `npm run check`: everything that can be said about the tree without running it. Every step runs, whatever the others
// say; the exit code is 0 only if all are content.

interface Step {
  readonly name: string;
  /** What is wrong, for people; empty where nothing is. */
  run(): string;
}

const tool =
  (name: string, ...args: readonly string[]) =>
  (): string =>
    command(join("node_modules", ".bin", name), args);

function command(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status === 0) return "";
  return `${stdout}${stderr}${error?.message ?? ""}`.trim() || `${program} ended with ${status}`;
}

const steps: readonly Step[] = [
  { name: "types", run: tool("tsc", "-p", ".", "--noEmit") },
  { name: "lint", run: tool("oxlint", "--type-aware", "--deny-warnings", "src", "test", "deploy", "vitest.config.ts") },
  { name: "import rule", run: () => importRuleFaults().join("\n") },
  { name: "format", run: tool("biome", "ci", "--colors=off", ".") },
  { name: "dead code", run: tool("knip", "--no-progress") },
  {
    name: "reference",
    run: () => command(process.execPath, ["--import", "tsx", "deploy/local/generate.ts", "--check"]),
  },
];

const failed: string[] = [];
for (const step of steps) {
  const begun = performance.now();
  const wrong = step.run();
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  process.stdout.write(`${wrong === "" ? "ok    " : "FAILED"} ${step.name.padEnd(12)} ${seconds.padStart(6)} s\n`);
  if (wrong !== "") {
    failed.push(step.name);
    process.stdout.write(`${wrong}\n\n`);
  }
}
if (failed.length > 0) {
  process.stdout.write(`failed: ${failed.join(", ")}\n`);
  process.exitCode = 1;
}
