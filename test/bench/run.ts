import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { aSession, concat, field, frame, userContext } from "../support/spark-wire.ts";
import { load } from "./children.ts";
import type { LoadPlan, LoadResult } from "./load.ts";
import { sessions, startWorld, type World } from "./world.ts";

// `npm run bench [-- --rounds N --seconds S]`: what Gatehouse costs a call, against an Envoy that does nothing but TLS and
// routing, in one run: the variants take turns, so that a slow minute of the machine meets all of them. Ratios count.

interface Variant {
  readonly name: string;
  plan(world: World): Pick<LoadPlan, "origin" | "headers">;
}

const grpc = { "content-type": "application/grpc", te: "trailers" };
const through = (session: string) => (world: World) => ({
  origin: world.gatehouse,
  headers: { ...grpc, authorization: `Bearer ${world.token}`, "x-spark-session-id": session },
});
const variants: readonly Variant[] = [
  { name: "Envoy, no filter", plan: (world) => ({ origin: world.bare, headers: grpc }) },
  { name: "Gatehouse, decision only", plan: through(sessions.decision) },
  { name: "Gatehouse, with inspection", plan: through(sessions.inspection) },
];

/** A Config request of about 190 bytes, as PySpark sends many of. */
const request = frame(concat(field(1, aSession), userContext("alice"), field(3, "x".repeat(110)), field(4, "bench")));
const path = "/spark.connect.SparkConnectService/Config";

interface Figures {
  readonly throughput: LoadResult[];
  readonly paced: LoadResult[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "3" } },
  });
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  const world = await startWorld();
  try {
    const figures = new Map<string, Figures>(variants.map(({ name }) => [name, { throughput: [], paced: [] }]));
    // The first round warms everything up and is not counted.
    for (let round = 0; round <= rounds; round += 1) {
      for (const variant of variants) {
        const plan = {
          ...variant.plan(world),
          ca: world.ca,
          path,
          bodyBase64: Buffer.from(request).toString("base64"),
        };
        const throughput = await load({ ...plan, connections: 4, seconds, pace: { concurrency: 32 } });
        const paced = await load({ ...plan, connections: 4, seconds, pace: { perSecond: 300 } });
        if (throughput.failed + paced.failed > 0) {
          throw new Error(
            `${variant.name}: calls failed, so no figure is worth anything: ${throughput.firstFailure ?? paced.firstFailure}`,
          );
        }
        if (round === 0) continue;
        figures.get(variant.name)?.throughput.push(throughput);
        figures.get(variant.name)?.paced.push(paced);
      }
      process.stderr.write(round === 0 ? "warmed up\n" : `round ${round} of ${rounds}\n`);
    }
    print(figures, { rounds, seconds });
    await assertAudited(world, figures);
  } finally {
    await world.close();
  }
}

interface Spread {
  readonly median: number;
  readonly text: string;
}

function spread(values: readonly number[], digits: number): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => (sorted[index] ?? Number.NaN).toFixed(digits);
  const middle = Math.floor(sorted.length / 2);
  return { median: sorted[middle] ?? Number.NaN, text: `${at(middle)} (${at(0)} to ${at(sorted.length - 1)})` };
}

function print(figures: ReadonlyMap<string, Figures>, { rounds, seconds }: { rounds: number; seconds: number }): void {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  say(
    `Node ${process.version}, ${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), Envoy with one worker, audit on.`,
  );
  say(
    `${rounds} rounds of ${seconds} s, variants in turn; median (least to most). Calls: unary, ${request.length} bytes, 4 connections.`,
  );
  say("");
  say("| variant | calls/s at 32 at once | of no filter | p50 ms at 300/s | p99 ms at 300/s | added p50 ms |");
  say("|---|---|---|---|---|---|");
  const base = figures.get(variants[0]?.name ?? "");
  const baseRate = spread(
    (base?.throughput ?? []).map((run) => run.perSecond),
    0,
  ).median;
  const baseP50 = spread(
    (base?.paced ?? []).map((run) => run.p50Ms),
    2,
  ).median;
  for (const [name, { throughput, paced }] of figures) {
    const rate = spread(
      throughput.map((run) => run.perSecond),
      0,
    );
    const p50 = spread(
      paced.map((run) => run.p50Ms),
      2,
    );
    const p99 = spread(
      paced.map((run) => run.p99Ms),
      2,
    );
    const ratio = (rate.median / baseRate).toFixed(2);
    say(`| ${name} | ${rate.text} | ${ratio} | ${p50.text} | ${p99.text} | ${(p50.median - baseP50).toFixed(2)} |`);
  }
}

/** A figure would be worthless if the product had left something out: every call through Gatehouse is in the audit. */
async function assertAudited(world: World, figures: ReadonlyMap<string, Figures>): Promise<void> {
  const counted = [...figures].flatMap(([name, { throughput, paced }]) =>
    name === variants[0]?.name ? [] : [...throughput, ...paced].map((run) => run.calls),
  );
  const least = counted.reduce((sum, calls) => sum + calls, 0);
  const metrics = await world.stack.metrics();
  const decisions = metrics.value("gatehouse_audit_records_total", { kind: "decision", outcome: "written" });
  if (decisions < least) throw new Error(`${least} calls were counted but only ${decisions} decisions were audited`);
  process.stdout.write(`\n${decisions} decisions audited.\n`);
}

await main();
