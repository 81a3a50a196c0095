import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { stringify } from "yaml";
import { type ConfigTree, mergeConfig } from "../../deploy/local/gatehouse-config.ts";
import type { Layout } from "../../deploy/local/layout.ts";
import { envoyReady, startEnvoyProcess } from "../../deploy/local/parts.ts";
import type { Child } from "../../deploy/local/processes.ts";
import type { Stack } from "../support/stack.ts";
import type { BenchContext } from "./context.ts";
import { type LoadPlan, type LoadResult, runLoad } from "./load.ts";
import type { Sample } from "./scenario.ts";
import type { DriverRange } from "./xds-orders.ts";
import { startGatehouse, startGoControlPlane, type XdsServer } from "./xds-servers.ts";

/** Who pushes. */
export type XdsKind = "gatehouse" | "snapshot" | "linear";

/** The figures, by what they are. */
export const xdsFigures = {
  connected: "first push of 10,000, from Envoy's connection",
  appeared: "push of 10,000 that appear at once",
  oneMore: "one more driver, beside 10,000",
  moved: "one driver's new address, among 10,000",
  serverCpu: "the server's processor time for the push of 10,000 that appear at once",
  calmP99: "decisions' p99, calm",
  pushP99: "decisions' p99, during a push of 10,000",
  pain: "decisions' p99 during a push of 10,000, of calm",
  serverKb: "the server's memory per driver",
  envoyKb: "Envoy's memory per driver",
} as const;

/** What all rounds share. */
export interface XdsWorld {
  readonly context: BenchContext;
  readonly stack: Stack;
  readonly layout: Layout;
  readonly config: ConfigTree;
  readonly plan: Omit<LoadPlan, "seconds">;
  /** The one driver that is called. */
  readonly called: DriverRange;
}

const drivers = 10_000;
const many: DriverRange = { from: 0, to: drivers, port: 15002 };
const both = ["cluster", "endpoints"] as const;
const warmUps = 3;

type Load = (seconds: number) => Promise<LoadResult>;

/** One round: Envoy connects to a server that knows 10,000 drivers; then 10,000 appear at a server that Envoy is connected to. */
export async function measureXds(kind: XdsKind, world: XdsWorld): Promise<Sample> {
  const beforeConnection = await withServers(kind, world, async (server) => await firstPush(server, world, kind));
  const afterConnection = await withServers(kind, world, async (server) => await laterPush(server, world, kind));
  return { ...beforeConnection, ...afterConnection };
}

/** Gatehouse always decides; who pushes is what differs. */
async function withServers(
  kind: XdsKind,
  world: XdsWorld,
  task: (server: XdsServer) => Promise<Sample>,
): Promise<Sample> {
  const started: XdsServer[] = [];
  try {
    const gatehouse = await startGatehouse(world.layout.configFile);
    started.push(gatehouse);
    if (kind === "gatehouse") return await task(gatehouse);
    await gatehouse.order({ put: [world.called], synced: true });
    const peer = await startGoControlPlane({
      peers: world.context.peers,
      mode: kind,
      listen: adsOf(kind, world),
      config: stringify(world.config),
    });
    started.push(peer);
    return await task(peer);
  } finally {
    for (const server of started.reverse()) await server.stop();
  }
}

const adsOf = (kind: XdsKind, { layout }: XdsWorld): string =>
  `unix:${join(layout.sockets, kind === "gatehouse" ? "ads.sock" : "peer.sock")}`;

async function withEnvoy<T>(
  kind: XdsKind,
  { stack, layout, config }: XdsWorld,
  task: (envoy: Child) => Promise<T>,
): Promise<T> {
  const envoy = await startEnvoyProcess(layout, {
    program: stack.tools.envoy,
    adminPort: stack.ports.admin,
    config: mergeConfig(config, { control: { ads: adsOf(kind, { layout } as XdsWorld) } }),
    // As on a server: where Linux groups processes by session (autogroup, meant for desktops), Envoy's main thread, busy on one core,
    // leaves its worker next to nothing of the other for up to 80 ms at a time, whoever pushes.
    ownSession: false,
  });
  try {
    return await task(envoy);
  } finally {
    await envoy.stop(5000);
  }
}

/** All drivers are known before Envoy comes; then single changes. */
async function firstPush(server: XdsServer, world: XdsWorld, kind: XdsKind): Promise<Sample> {
  const empty = await server.order({ collect: true });
  await server.order({ put: [many, world.called], synced: true });
  const pushed = server.order({ awaiting: [many, world.called], expect: both });
  return await withEnvoy(kind, world, async () => {
    const { sinceConnectMs } = await pushed;
    const full = await server.order({ collect: true });
    const more = await single(server, (i) => ({
      put: [{ ...many, from: drivers + i, to: drivers + i + 1 }],
      expect: both,
    }));
    const elsewhere = await single(server, (i) => ({
      put: [{ from: i, to: i + 1, port: 15003 }],
      expect: ["endpoints"],
    }));
    return {
      [xdsFigures.connected]: sinceConnectMs,
      [xdsFigures.oneMore]: more,
      [xdsFigures.moved]: elsewhere,
      [xdsFigures.serverKb]: (full.rssKb - empty.rssKb) / drivers,
    };
  });
}

async function single(server: XdsServer, orderOf: (i: number) => Parameters<XdsServer["order"]>[0]): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    await pause(250);
    times.push((await server.order(orderOf(i))).ms);
  }
  return times.toSorted((a, b) => a - b)[2] ?? Number.NaN;
}

/** Envoy is there first, with the one driver that is called. */
async function laterPush(server: XdsServer, world: XdsWorld, kind: XdsKind): Promise<Sample> {
  await server.order({ put: [world.called], synced: true });
  return await withEnvoy(kind, world, async (envoy) => {
    await envoyReady(world.stack.ports, { deadlineMs: 30_000, children: [envoy] });
    const load: Load = async (seconds) => await runLoad(world.context.peers, { ...world.plan, seconds });
    await load(1);
    const before = residentKb(envoy.pid);
    const pushed = await server.order({ put: [many], expect: both });
    const after = residentKb(envoy.pid);
    await server.order({ remove: [many], expect: ["cluster"] });
    for (let i = 0; i < warmUps; i += 1) await warmUp(server, load);
    await pause(1000);
    // As long as the whole push: what it costs Envoy's worker comes when the endpoints do, which may be at its end.
    const seconds = Math.ceil(1.2 * pushed.ms) / 1000;
    const calm = await load(seconds);
    const under = await pushUnderLoad(server, load, seconds);
    return {
      [xdsFigures.appeared]: pushed.ms,
      [xdsFigures.serverCpu]: pushed.cpuMs,
      [xdsFigures.envoyKb]: (after - before) / drivers,
      ...latencies(calm, under),
    };
  });
}

/** A server that never pushed so much compiles while it does; for some, that takes more of the machine than the push. */
async function warmUp(server: XdsServer, load: Load): Promise<void> {
  await server.order({ put: [many], expect: both });
  await server.order({ remove: [many], expect: ["cluster"] });
  await load(1);
}

/** The changes come 100 ms after the load's beginning: its first calls wait for their connections. */
async function pushUnderLoad(server: XdsServer, load: Load, seconds: number): Promise<LoadResult> {
  const pushed = server.order({ put: [many], expect: both, afterMs: 600 });
  await pause(500);
  const [under] = await Promise.all([load(seconds), pushed]);
  return under;
}

function latencies(calm: LoadResult, under: LoadResult): Sample {
  return {
    [xdsFigures.calmP99]: calm.p99Ms,
    [xdsFigures.pushP99]: under.p99Ms,
    [xdsFigures.pain]: under.p99Ms / calm.p99Ms,
  };
}

const residentKb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN);
