import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureBenchPeers } from "../../deploy/local/bench-build.ts";
import { repositoryRoot } from "../../deploy/local/layout.ts";
import { ensureTools } from "../../deploy/local/tools.ts";
import type { BenchContext } from "./context.ts";
import { thisMachine, versionsOf } from "./machine.ts";
import { profileGatehouse, renderProfile } from "./profile.ts";
import type { RunFacts, ScenarioRecord } from "./record.ts";
import { scenarioTable, table, targetCells } from "./report.ts";
import { writeProfile, writeRecord, writeReport } from "./report-files.ts";
import { measureScenario } from "./rounds.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";

const usage = `npm run bench -- [options]: measures Gatehouse and its peers, and writes docs/performance.md

  --only ID,ID    some scenarios: ${scenarios.map(({ id }) => id).join(", ")}
  --rounds N      counted rounds (default 5)
  --seconds S     how long one measurement of a rate lasts (default 3)
  --profile       says where the time goes; without --only nothing else is measured
  --no-report     prints only
`;

interface Wanted {
  readonly scenarios: readonly Scenario[];
  readonly profile: boolean;
  readonly report: boolean;
  readonly rounds: number;
  readonly seconds: number;
}

const tell = (line: string): void => void process.stderr.write(`${line}\n`);
const say = (lines: readonly string[]): void => void process.stdout.write(`${lines.join("\n")}\n`);

/** @throws Error whose message is the line to show */
function wantedBy(args: readonly string[]): Wanted {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      only: { type: "string" },
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "3" },
      report: { type: "boolean", default: true },
      profile: { type: "boolean", default: false },
    },
  });
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  if (!Number.isInteger(rounds) || rounds < 1 || !(seconds > 0)) throw new Error(usage);
  const named = values.only?.split(",") ?? (values.profile ? [] : scenarios.map(({ id }) => id));
  const chosen = named.map((id) => {
    const scenario = scenarios.find((each) => each.id === id);
    if (scenario === undefined) throw new Error(`there is no scenario ${id}\n\n${usage}`);
    return scenario;
  });
  return { scenarios: chosen, profile: values.profile, report: values.report, rounds, seconds };
}

/** What is measured is what `npm run build` makes, made just now; `GATEHOUSE_BUILT=1` says that it was. */
function build(): void {
  if (process.env["GATEHOUSE_BUILT"] === "1") return;
  tell("building Gatehouse");
  const tsc = join(repositoryRoot, "node_modules/typescript/bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], {
    cwd: repositoryRoot,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) throw new Error("Gatehouse cannot be built: see above");
  process.env["GATEHOUSE_BUILT"] = "1";
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-bench-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function print(record: ScenarioRecord): void {
  const targets = record.targets.map((target) => targetCells(target, record));
  const judged = targets.length === 0 ? [] : [...table(["target", "bar", "measured", "result"], targets), ""];
  say([`## ${record.title}`, "", ...scenarioTable(record), "", ...judged, ...record.lines.map((line) => `${line}\n`)]);
}

async function main(signal: AbortSignal): Promise<void> {
  const wanted = wantedBy(process.argv.slice(2));
  build();
  const tools = await ensureTools([], tell);
  const peers = await ensureBenchPeers(tell);
  const given = process.argv.slice(2).join(" ");
  const run: RunFacts = {
    at: `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
    command: given === "" ? "npm run bench" : `npm run bench -- ${given}`,
    seconds: wanted.seconds,
    machine: thisMachine(),
    versions: await versionsOf({ envoy: tools.envoy, peers }),
  };
  const contextIn = (folder: string): BenchContext => {
    mkdirSync(folder, { recursive: true });
    return { tools, peers, folder, rounds: wanted.rounds, seconds: wanted.seconds };
  };
  for (const scenario of wanted.scenarios) {
    const options = { run, progress: tell, signal };
    const record = await inFolder((folder) => measureScenario(scenario, { ...options, context: contextIn(folder) }));
    print(record);
    // At once: what comes next may fail.
    if (wanted.report) await writeRecord(record);
  }
  if (wanted.profile) {
    tell("profile: taking it");
    const profile = await inFolder((folder) => profileGatehouse(contextIn(folder), run));
    say([renderProfile(profile)]);
    if (wanted.report) await writeProfile(profile);
  }
  if (wanted.report) await writeReport(scenarios.map(({ id }) => id));
}

// The first signal ends what is under way in order, a second one at once.
const ending = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (ending.signal.aborted) process.exit(1);
    tell("ending");
    ending.abort(new Error(`ended by ${signal}`));
  });
}
try {
  await main(ending.signal);
} catch (error) {
  tell(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
