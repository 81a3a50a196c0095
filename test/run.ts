import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { type KubeBuild, startKubeBuild } from "./support/kube/build.ts";

// `npm test`: all suites, one after the other, then one line about all of them. Arguments: names of suites to run only
// those; anything else goes to vitest as it is (`npm test -- unit -t audit`). The lifetimes wait for drivers to grow idle for
// nearly all of their time, so they do it beside the last suite.

const suites = ["unit", "features", "e2e", "lifetimes", "kubernetes"] as const;

interface Report {
  readonly numPassedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly FileReport[];
}

interface FileReport {
  readonly name: string;
  readonly status: string;
  /** Why the file itself failed. */
  readonly message?: string;
  readonly assertionResults: readonly {
    readonly status: string;
    readonly fullName: string;
    readonly failureMessages?: readonly string[];
  }[];
}

interface Outcome {
  readonly passed: number;
  readonly skipped: number;
  /** What failed and why, a line each: said once more at the very end, where nobody has to look for it. */
  readonly failures: readonly string[];
  /** Why it is a failure although no test failed; undefined where it is none. */
  readonly fault: string | undefined;
}

const running = new Set<ChildProcess>();
let stopped = false;
let build: KubeBuild | undefined;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    stopped = true;
    for (const child of running) child.kill(signal);
    build?.stop();
  });
}

async function runSuite(suite: string, args: readonly string[], folder: string): Promise<Outcome> {
  const file = join(folder, `${suite}.json`);
  const vitest = ["node_modules/vitest/vitest.mjs", "run", "--project", suite, "--passWithNoTests"];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const child = spawn(process.execPath, [...vitest, ...reporters, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  running.add(child);
  const exit = await new Promise<number | string>((resolve, reject) => {
    child.once("error", reject).once("exit", (code, signal) => resolve(code ?? signal ?? "no exit code"));
  }).finally(() => running.delete(child));
  if (!existsSync(file)) return { passed: 0, skipped: 0, failures: [], fault: `vitest gave no report (${exit})` };
  const report = JSON.parse(readFileSync(file, "utf8")) as Report;
  const failures = report.testResults.flatMap(failuresOf);
  return {
    passed: report.numPassedTests,
    skipped: report.numPendingTests + report.numTodoTests,
    failures,
    fault: exit !== 0 && failures.length === 0 ? `vitest ended with ${exit} (unhandled errors?)` : undefined,
  };
}

/** A file that cannot be loaded, or whose preparation fails, has no failing tests: it counts as one. */
function failuresOf({ name, status, message, assertionResults }: FileReport): string[] {
  const file = relative(process.cwd(), name);
  const failed = assertionResults.filter((test) => test.status === "failed");
  if (status === "failed" && failed.length === 0) return [`${file}: ${firstLine(message)}`];
  return failed.map((test) => `${file}: ${test.fullName}: ${firstLine(test.failureMessages?.[0])}`);
}

const firstLine = (message = ""): string => message.split("\n", 1)[0]?.slice(0, 300) ?? "";

async function whyNotBuilt(): Promise<string | undefined> {
  try {
    await build?.done;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function perform(suite: string): Promise<void> {
  const missing = suite === "kubernetes" ? await whyNotBuilt() : undefined;
  if (missing !== undefined) {
    faults.push(`${suite}: ${missing}`);
    total.failed += 1;
    return;
  }
  const outcome = await runSuite(suite, rest, folder);
  total.passed += outcome.passed;
  total.failed += outcome.failures.length;
  total.skipped += outcome.skipped;
  failures.push(...outcome.failures);
  const executed = outcome.passed + outcome.failures.length;
  if (outcome.fault !== undefined) {
    faults.push(`${suite}: ${outcome.fault}`);
    total.failed += 1;
  }
  // With arguments a suite may have nothing that fits them; without, an empty suite means that it was not found.
  if (executed === 0 && rest.length === 0) faults.push(`${suite}: no test was executed`);
}

const given = process.argv.slice(2);
const named = suites.filter((suite) => given.includes(suite));
const rest = given.filter((arg) => !(suites as readonly string[]).includes(arg));
const folder = mkdtempSync(join(tmpdir(), "gatehouse-test-"));
const total = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
const faults: string[] = [];
const wanted = named.length > 0 ? named : suites;
const tell = (line: string): void => void process.stderr.write(`${line}\n`);
// Kubernetes and Helm: minutes of work, at the lowest priority, while the other suites run.
if (wanted.includes("kubernetes")) build = startKubeBuild(tell);
try {
  const beside: Promise<void>[] = [];
  for (const suite of wanted) {
    if (stopped) break;
    const done = perform(suite);
    if (suite === "lifetimes") beside.push(done);
    else await done;
  }
  await Promise.all(beside);
} finally {
  build?.stop();
  rmSync(folder, { recursive: true });
}
if (stopped) faults.push("interrupted");
if (total.passed + total.failed === 0) faults.push("no test was executed");
for (const failure of failures) process.stderr.write(`failed: ${failure}\n`);
for (const fault of faults) process.stderr.write(`${fault}\n`);
const skipped = total.skipped === 0 ? "" : `, ${total.skipped} skipped`;
process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exitCode = total.failed > 0 || faults.length > 0 ? 1 : 0;
