import { stringify } from "yaml";
import { ensureCertificates } from "../../../deploy/local/certificates.ts";
import { writePrivateFile } from "../../../deploy/local/files.ts";
import { localConfig, mergeConfig } from "../../../deploy/local/gatehouse-config.ts";
import { makeLayout } from "../../../deploy/local/layout.ts";
import { freePort } from "../../../deploy/local/ports.ts";
import { type Stack, startStack } from "../../support/stack.ts";
import { type Peer, startPeer } from "../children.ts";
import { configRequest } from "../config-request.ts";
import type { BenchContext } from "../context.ts";
import type { Figure, Prepared, Scenario, Target, Variant } from "../scenario.ts";
import { measureXds, type XdsKind, type XdsWorld, xdsFigures } from "../xds-measure.ts";
import type { DriverRange } from "../xds-orders.ts";

const names = {
  gatehouse: "Gatehouse",
  snapshot: "go-control-plane, snapshot cache",
  linear: "go-control-plane, linear cache",
} as const satisfies Record<XdsKind, string>;

const { connected, appeared, oneMore, moved, serverCpu, calmP99, pushP99, pain, serverKb, envoyKb } = xdsFigures;

const figures: readonly Figure[] = [
  { name: connected, unit: "ms", digits: 0, better: "less", plot: true },
  { name: appeared, unit: "ms", digits: 0, better: "less", plot: true },
  { name: oneMore, unit: "ms", digits: 1, better: "less", plot: true },
  { name: moved, unit: "ms", digits: 1, better: "less", plot: true },
  { name: serverCpu, unit: "ms", digits: 0, better: "less" },
  { name: calmP99, unit: "ms", digits: 1, better: "less" },
  { name: pushP99, unit: "ms", digits: 1, better: "less" },
  { name: pain, unit: "×", digits: 1, better: "less", plot: true },
  { name: serverKb, unit: "kB", digits: 1, better: "less" },
  { name: envoyKb, unit: "kB", digits: 1, better: "less" },
];

const targets: readonly Target[] = [
  ...[connected, appeared].flatMap((figure) =>
    [names.snapshot, names.linear].map((per) => ({
      text: `${figure}: of what ${per} takes`,
      figure,
      variant: names.gatehouse,
      per,
      atMost: 1.1,
    })),
  ),
  { text: `${oneMore}: to Envoy's acknowledgement, ms`, figure: oneMore, variant: names.gatehouse, atMost: 5 },
  { text: `${moved}: to Envoy's acknowledgement, ms`, figure: moved, variant: names.gatehouse, atMost: 5 },
  { text: pain, figure: pain, variant: names.gatehouse, atMost: 3 },
];

const about = `A fresh Envoy with one worker and a fresh server in each round. Everything is timed by the server, from the first change (or
from Envoy's connection) to the last acknowledgement of clusters and endpoints. Gatehouse is wired as it is shipped, all servers
in one process; a runtime made for this tells it of drivers as a watch would, 50 in a turn. go-control-plane serves resources of
the same bytes, built in Go from its own types; with the snapshot cache a new snapshot is set for every change, with linear
caches only what changed is. One more and a new address are medians of five, a quarter of a second apart. While 10,000 drivers
appear at once (they came and went four times before: Node compiles what it does often), 300 calls per second are decided, and
latency counts from when a call was due. Beside go-control-plane too it is Gatehouse that decides (it then knows of one driver
and pushes to nobody): what the push does to latency there is Envoy's own share, and the machine's. Envoy, the servers and the
load share one session, so that Linux's grouping of processes by session (autogroup) does not decide who runs. Memory is what is
resident with 10,000 drivers less what was without, after a garbage collection.`;

/** Must-reach 4: what drivers that come, go and move cost, from the watch to Envoy. */
export const xds: Scenario = {
  id: "xds",
  title: "The push: 10,000 drivers",
  about,
  figures,
  targets,
  rounds: 3,
  prepare,
};

async function prepare(context: BenchContext): Promise<Prepared> {
  const stack = await startStack({ start: ["issuer"] });
  let upstream: Peer | undefined;
  const close = async (): Promise<void> => {
    await stack.stop();
    await upstream?.stop();
  };
  try {
    const called = { from: 1_000_000, to: 1_000_001, host: "127.0.0.2", port: await freePort(), app: "plain" };
    upstream = await startPeer(context.peers, ["upstream", "--listen", `${called.host}:${called.port}`]);
    const world = await worldOf(context, stack, called);
    const variants = (Object.keys(names) as XdsKind[]).map(
      (kind): Variant => ({ name: names[kind], measure: async () => await measureXds(kind, world) }),
    );
    return { variants, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function worldOf(context: BenchContext, stack: Stack, called: DriverRange): Promise<XdsWorld> {
  const layout = makeLayout(stack.folder);
  const certificates = await ensureCertificates(layout.certificates);
  const config = mergeConfig(localConfig({ layout, certificates, javaArguments: [], ...stack }), {
    profiles: { plain: { inspection: false } },
  });
  writePrivateFile(layout.configFile, stringify(config));
  const authorization = `Bearer ${await stack.token("alice")}`;
  const metadata = { authorization, "x-spark-session-id": "sjns-analytics-dev.plain" };
  const origin = `https://localhost:${stack.ports.envoy}`;
  const plan = {
    ...configRequest,
    origin,
    caFile: stack.caFile,
    metadata,
    connections: 4,
    perSecond: 300,
    expect: "OK",
  };
  return { context, stack, layout, config, plan, called };
}
