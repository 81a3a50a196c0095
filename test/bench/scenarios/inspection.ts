import { configRequest } from "../config-request.ts";
import type { BenchContext } from "../context.ts";
import { runWatchedLoad } from "../load.ts";
import { startModes } from "../modes.ts";
import type { Figure, Prepared, Sample, Scenario, Target, Variant } from "../scenario.ts";
import type { GatehouseWorld } from "../world.ts";

const names = {
  decision: "decision only",
  separate: "inspection, mode separate",
  fused: "inspection, mode fused",
} as const;

const rate = "calls per second at 32 at once";
const p99 = "p99 at 500 calls per second";
const own = "processor time of Gatehouse per call";
const envoy = "processor time of Envoy per call";

const figures: readonly Figure[] = [
  { name: rate, unit: "calls/s", digits: 0, better: "more", plot: true },
  { name: p99, unit: "ms", digits: 2, better: "less" },
  { name: own, unit: "µs", digits: 1, better: "less", plot: true },
  { name: envoy, unit: "µs", digits: 1, better: "less" },
];

const targets: readonly Target[] = [
  {
    text: "with inspection, of decision only's calls/s",
    figure: rate,
    variant: names.separate,
    per: names.decision,
    atLeast: 0.6,
  },
  {
    text: "the fused mode, of decision only's calls/s",
    figure: rate,
    variant: names.fused,
    per: names.decision,
    atLeast: 0.6,
  },
  {
    text: "the fused mode, of the separate one's calls/s",
    figure: rate,
    variant: names.fused,
    per: names.separate,
    atLeast: 1.2,
  },
];

const about = `The same call as at the door, on three ways to a driver. Decision only: ext_authz asks, the profile says
\`inspection: false\`. Separate: ext_authz asks for the decision, then ext_proc has the message inspected, stamped and audited on a
stream of its own. Fused (\`inspection.mode: fused\`): ext_proc alone asks, and the stream that is decided upon is the one that is
inspected. Everything that Gatehouse does by default is on.`;

/** Must-reach 3: what inspection costs a call. */
export const inspection: Scenario = {
  id: "inspection",
  title: "Inspection",
  about,
  figures,
  targets,
  warmUps: 3,
  prepare,
};

interface Place {
  readonly world: GatehouseWorld;
  readonly session: string;
  readonly inspected: boolean;
  calls: number;
}

async function prepare(context: BenchContext): Promise<Prepared> {
  const { separate, fused, close } = await startModes(context);
  try {
    const places: Readonly<Record<keyof typeof names, Place>> = {
      decision: { world: separate, session: separate.sessions.decision, inspected: false, calls: 0 },
      separate: { world: separate, session: separate.sessions.inspection, inspected: true, calls: 0 },
      fused: { world: fused, session: fused.sessions.inspection, inspected: true, calls: 0 },
    };
    const variants: Variant[] = [];
    for (const kind of ["decision", "separate", "fused"] as const) {
      variants.push(await variant(context, names[kind], places[kind]));
    }
    return { variants, finish: async () => await leftOut(Object.values(places)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function variant({ peers, seconds }: BenchContext, name: string, place: Place): Promise<Variant> {
  const { world, session } = place;
  const plan = {
    ...configRequest,
    origin: world.origin,
    caFile: world.caFile,
    metadata: { authorization: `Bearer ${await world.token("alice")}`, "x-spark-session-id": session },
    connections: 4,
    seconds,
    expect: "OK",
  };
  return {
    name,
    async measure(): Promise<Sample> {
      const watched = { own: world.gatehousePid, envoy: world.envoyPid };
      const full = await runWatchedLoad(peers, { ...plan, concurrency: 32 }, watched);
      const paced = await runWatchedLoad(peers, { ...plan, perSecond: 500 }, watched);
      place.calls += full.calls + paced.calls;
      return { [rate]: full.perSecond, [p99]: paced.p99Ms, [own]: full.micros.own, [envoy]: full.micros.envoy };
    },
  };
}

/** Figures would be worthless if the product had left something out. @throws Error where it did */
async function leftOut(places: readonly Place[]): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const world of new Set(places.map((place) => place.world))) {
    const here = places.filter((place) => place.world === world);
    const calls = here.reduce((sum, place) => sum + place.calls, 0);
    const inspected = here.reduce((sum, place) => sum + (place.inspected ? place.calls : 0), 0);
    const { decisions, operations } = await world.audited();
    if (decisions < calls || operations < inspected) {
      throw new Error(
        `${calls} calls ended well, ${inspected} of them inspected; the audit has ${decisions} decisions and ${operations} operations`,
      );
    }
    lines.push(
      `Checked at the end: ${calls} calls, ${inspected} of them inspected; ${decisions} decisions and ${operations} operations in the audit.`,
    );
  }
  return lines;
}
