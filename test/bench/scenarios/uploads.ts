import { readFileSync, writeFileSync } from "node:fs";
import { aSession, concat, field } from "../../support/spark-wire.ts";
import type { BenchContext } from "../context.ts";
import { runLoad } from "../load.ts";
import { startModes } from "../modes.ts";
import type { Figure, Prepared, Sample, Scenario, Target, Variant } from "../scenario.ts";
import type { GatehouseWorld } from "../world.ts";

const names = {
  plain: "not inspected",
  separate: "inspection, mode separate",
  fused: "inspection, mode fused",
} as const;

const throughput = "throughput of one upload";
const grown = "Gatehouse's memory at its most, above what it had before";

const figures: readonly Figure[] = [
  { name: throughput, unit: "MB/s", digits: 0, better: "more", plot: true },
  { name: grown, unit: "MiB", digits: 0, better: "less" },
];

const targets: readonly Target[] = [
  ...([names.separate, names.fused] as const).map((variant) => ({
    text: `an upload with ${variant}, of one that is not inspected`,
    figure: throughput,
    variant,
    per: names.plain,
    atLeast: 0.5,
  })),
  ...([names.separate, names.fused] as const).map((variant) => ({
    text: `memory during a 100 MB upload, ${variant}`,
    figure: grown,
    variant,
    atMost: 50,
  })),
];

const uploadBytes = 100_000_000;
/** What PySpark puts into one message. */
const chunkBytes = 32 * 1024;

const about = `AddArtifacts with 100 MB in messages of 32 KiB, as PySpark sends them, one upload at a time over one connection.
Inspection reads, stamps and forwards every message. Memory is the most that Gatehouse's process held at any moment (VmHWM, reset
before each upload), above what it held before.`;

/** Must-reach 3: what inspection costs an upload. */
export const uploads: Scenario = {
  id: "uploads",
  title: "Uploads",
  about,
  figures,
  targets,
  prepare,
};

async function prepare(context: BenchContext): Promise<Prepared> {
  const { separate, fused, close } = await startModes(context);
  try {
    const variants = [
      await variant(context, names.plain, { world: separate, session: separate.sessions.decision }),
      await variant(context, names.separate, { world: separate, session: separate.sessions.inspection }),
      await variant(context, names.fused, { world: fused, session: fused.sessions.inspection }),
    ];
    return { variants, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function variant(
  { peers, seconds }: BenchContext,
  name: string,
  { world, session }: { readonly world: GatehouseWorld; readonly session: string },
): Promise<Variant> {
  const message = concat(field(1, aSession), field(5, field(1, new Uint8Array(chunkBytes).fill(120))));
  const plan = {
    origin: world.origin,
    caFile: world.caFile,
    method: "/spark.connect.SparkConnectService/AddArtifacts",
    metadata: { authorization: `Bearer ${await world.token("alice")}`, "x-spark-session-id": session },
    bodyBase64: Buffer.from(message).toString("base64"),
    uploadBytes,
    connections: 1,
    concurrency: 1,
    seconds,
    expect: "OK",
  };
  return {
    name,
    async measure(): Promise<Sample> {
      const before = memoryOf(world.gatehousePid, "VmRSS");
      // Linux: "5" makes the peak begin anew from what is held now.
      writeFileSync(`/proc/${world.gatehousePid}/clear_refs`, "5");
      const { bytesPerSecond = 0 } = await runLoad(peers, plan);
      return { [throughput]: bytesPerSecond / 1e6, [grown]: memoryOf(world.gatehousePid, "VmHWM") - before };
    },
  };
}

/** In MiB. */
function memoryOf(pid: number, what: "VmRSS" | "VmHWM"): number {
  const kib = new RegExp(`${what}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) / 1024;
}
