import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../../deploy/local/layout.ts";
import { configRequest } from "./config-request.ts";
import type { BenchContext } from "./context.ts";
import { type CpuProfile, type ProfileSummary, type ProfileWindow, summarize } from "./cpu-profile.ts";
import { runWatchedLoad } from "./load.ts";
import type { RunFacts } from "./record.ts";
import { table } from "./report.ts";
import { startGatehouseWorld } from "./world.ts";

/** `docs/performance/profile.json`. */
export interface ProfileRecord {
  readonly v: 1;
  readonly run: RunFacts;
  readonly loads: readonly ProfiledLoad[];
}

interface ProfiledLoad extends ProfileSummary {
  readonly name: string;
  readonly callsPerSecond: number;
  /** Gatehouse's processor time per call, with the profiler on. */
  readonly microsPerCall: number;
}

const shown = 15;
const kept = 40;
/** One after the other in one process: what the first one has warmed up is warm for the second, as in life. */
const loads = [
  { name: "Decision only", session: "decision" },
  { name: "With inspection", session: "inspection" },
] as const;

/**
 * Runs Gatehouse under Node's own profiler, with hot tokens and 32 calls at once, and says where its main thread's time
 * went. Slower than without a profiler: the shares count.
 */
export async function profileGatehouse(context: BenchContext, run: RunFacts): Promise<ProfileRecord> {
  const folder = join(context.folder, "profiles");
  mkdirSync(folder);
  const world = await startGatehouseWorld(context, { nodeArguments: ["--cpu-prof", `--cpu-prof-dir=${folder}`] });
  const measured: (Omit<ProfiledLoad, keyof ProfileSummary> & { readonly window: ProfileWindow })[] = [];
  try {
    const token = await world.token("alice");
    for (const { name, session } of loads) {
      const plan = {
        ...configRequest,
        origin: world.origin,
        caFile: world.caFile,
        metadata: { authorization: `Bearer ${token}`, "x-spark-session-id": world.sessions[session] },
        connections: 4,
        concurrency: 32,
        seconds: context.seconds,
        expect: "OK",
      };
      const pids = { gatehouse: world.gatehousePid };
      await runWatchedLoad(context.peers, plan, pids);
      const from = monotonicMicros();
      const { perSecond, micros } = await runWatchedLoad(context.peers, plan, pids);
      const window = { from, to: monotonicMicros() };
      measured.push({ name, callsPerSecond: perSecond, microsPerCall: micros.gatehouse, window });
    }
  } finally {
    // Node writes the profile when it ends in order.
    await world.close();
  }
  const profile = mainThreadProfile(folder);
  return {
    v: 1,
    run,
    loads: measured.map(({ window, ...load }) => {
      const { functions, ...summary } = summarize(profile, window, repositoryRoot);
      return { ...load, ...summary, functions: functions.slice(0, kept) };
    }),
  };
}

const monotonicMicros = (): number => Number(process.hrtime.bigint() / 1000n);

/** Of several files (one per thread) the main thread's: `CPU.<date>.<time>.<pid>.<thread>.<number>.cpuprofile`. */
function mainThreadProfile(folder: string): CpuProfile {
  const file = readdirSync(folder).find((name) => /^CPU\.\d+\.\d+\.\d+\.0\./.test(name));
  if (file === undefined) throw new Error("Gatehouse has written no profile: it did not end in order");
  return JSON.parse(readFileSync(join(folder, file), "utf8")) as CpuProfile;
}

/** The part of the page about it. */
export function renderProfile({ loads, run }: ProfileRecord): string {
  const parts = loads.map((load) => {
    const { busy, callsPerSecond, functions, microsPerCall, name } = load;
    const byPart = load.parts.filter(({ share }) => share >= 0.005).map((part) => [part.name, percent(part.share)]);
    const rows = functions
      .slice(0, shown)
      .map((each) => [
        `\`${each.name}\``,
        each.file === "" ? "(the engine)" : each.file,
        each.part,
        percent(each.share),
      ]);
    const largest = load.parts.slice(0, 3).map((part) => `${part.name} (${percent(part.share)})`);
    return [
      `### ${name}`,
      `${Math.round(callsPerSecond)} calls/s with the profiler on, ${microsPerCall.toFixed(1)} µs of Gatehouse per call; its main thread was busy for ${percent(busy)} of the time. The three largest: ${largest.join(", ")}.`,
      table(["part", "of the busy time"], byPart).join("\n"),
      table(["function (its own time)", "file", "part", "of the busy time"], rows).join("\n"),
    ].join("\n\n");
  });
  const about = `Gatehouse under Node's profiler (\`--cpu-prof\`), 32 calls at once with one token. A function's time is its own, without what
it calls. Time of code that serves everyone (buffers, hashes, promises) counts for the part that called it.`;
  const measured = `Measured ${run.at} with \`${run.command}\`, ${run.seconds} s for each load. Node ${run.versions["Node"] ?? ""}, ${run.machine.processor}.`;
  return `## Where the time goes\n\n${[about, measured, ...parts].join("\n\n")}\n`;
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
