import { configRequest } from "../config-request.ts";
import type { BenchContext } from "../context.ts";
import { type LoadPlan, runWatchedLoad } from "../load.ts";
import { type PeerEnvoy, startPeerEnvoy } from "../peer-envoys.ts";
import type { Figure, Prepared, Sample, Scenario, Target, Variant } from "../scenario.ts";
import { type GatehouseWorld, startGatehouseWorld } from "../world.ts";

const names = {
  bare: "Envoy, no filter",
  jwt: "Envoy's jwt_authn",
  jwtCache: "Envoy's jwt_authn, with its cache",
  go: "Go ext_authz",
  goAudit: "Go ext_authz, with audit",
  decision: "Gatehouse, decision only",
  inspection: "Gatehouse, with inspection",
} as const;

const rate = "calls per second at 32 at once";
const p50 = "p50 at 1,000 calls per second";
const p99 = "p99 at 1,000 calls per second";
const ownMicros = "processor time of the authorizing process per call";
const envoyMicros = "processor time of Envoy per call";

const figures: readonly Figure[] = [
  { name: rate, unit: "calls/s", digits: 0, better: "more", plot: true },
  { name: p50, unit: "ms", digits: 2, better: "less" },
  { name: p99, unit: "ms", digits: 2, better: "less", plot: true },
  { name: ownMicros, unit: "µs", digits: 1, better: "less", plot: true },
  { name: envoyMicros, unit: "µs", digits: 1, better: "less" },
];

const targets: readonly Target[] = [
  {
    text: "decision only, of the Go server's calls/s (the aim is above 1)",
    figure: rate,
    variant: names.decision,
    per: names.go,
    atLeast: 0.85,
  },
  {
    text: "what decision only adds to p99 at 1,000 calls/s, of what the Go server adds",
    figure: p99,
    variant: names.decision,
    per: names.go,
    above: names.bare,
    atMost: 2,
  },
  {
    text: "with inspection, of decision only's calls/s",
    figure: rate,
    variant: names.inspection,
    per: names.decision,
    atLeast: 0.6,
  },
];

const about = `One unary call of about 190 bytes, again and again over four connections, with one token that everyone has seen before
(RS256). Each variant is an Envoy with one worker that ends TLS, asks whoever decides, and forwards to a gRPC server that answers
at once. First 32 calls are under way all the time; then 1,000 begin per second whatever is under way, and latency counts from
when a call was due. jwt_authn decides inside Envoy's own process. The Go server (grpc-go, golang-jwt, a cache of verified tokens)
verifies the token, picks the cluster and answers as Gatehouse does, but knows no policy, sessions or drivers; with audit it writes
one line for each decision before it answers. The peers' Envoys keep no access log; Gatehouse's reports to Gatehouse, as it does by default.`;

/** Where a variant is reached and who works for it. */
interface Place {
  readonly origin: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly envoyPid: number;
  /** Absent: nobody but Envoy. */
  readonly authorizerPid?: number;
  /** Told how many calls have ended well. */
  counted?(calls: number): void;
}

/** Must-reach 1: what a decision costs a call whose token is known. */
export const door: Scenario = {
  id: "door",
  title: "The door: hot tokens",
  about,
  figures,
  targets,
  warmUps: 3,
  prepare,
};

/** In the order of the report; what is not here goes through Gatehouse. */
const peerKinds = [
  ["none", names.bare],
  ["jwt", names.jwt],
  ["jwt-cached", names.jwtCache],
  ["authz", names.go],
  ["authz-audited", names.goAudit],
] as const;

async function prepare(context: BenchContext): Promise<Prepared> {
  const world = await startGatehouseWorld(context);
  const peers: PeerEnvoy[] = [];
  const close = async (): Promise<void> => {
    for (const peer of peers) await peer.close();
    await world.close();
  };
  try {
    const authorization = `Bearer ${await world.token("alice")}`;
    const variants: Variant[] = [];
    for (const [kind, name] of peerKinds) {
      const peer = await startPeerEnvoy(kind, { ...context, ...(await world.forPeers()) });
      peers.push(peer);
      const metadata = { authorization, "x-spark-session-id": world.sessions.decision };
      const authorizer = peer.authzPid === undefined ? {} : { authorizerPid: peer.authzPid };
      const place = { origin: peer.origin, metadata, envoyPid: peer.envoyPid, ...authorizer };
      variants.push(variant(context, world, name, place));
    }
    const calls = { decision: 0, inspection: 0 };
    for (const kind of ["decision", "inspection"] as const) {
      const place: Place = {
        origin: world.origin,
        metadata: { authorization, "x-spark-session-id": world.sessions[kind] },
        envoyPid: world.envoyPid,
        authorizerPid: world.gatehousePid,
        counted(ended) {
          calls[kind] += ended;
        },
      };
      variants.push(variant(context, world, names[kind], place));
    }
    return { variants, finish: async () => await leftOut(world, calls), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function variant({ peers, seconds }: BenchContext, { caFile }: GatehouseWorld, name: string, place: Place): Variant {
  const { authorizerPid, envoyPid, metadata, origin } = place;
  const plan: LoadPlan = { ...configRequest, origin, caFile, metadata, connections: 4, seconds, expect: "OK" };
  return {
    name,
    async measure(): Promise<Sample> {
      const watched = { envoy: envoyPid, own: authorizerPid ?? envoyPid };
      const full = await runWatchedLoad(peers, { ...plan, concurrency: 32 }, watched);
      const paced = await runWatchedLoad(peers, { ...plan, perSecond: 1000 }, watched);
      place.counted?.(full.calls + paced.calls);
      return {
        [rate]: full.perSecond,
        [p50]: paced.p50Ms,
        [p99]: paced.p99Ms,
        ...(authorizerPid === undefined ? {} : { [ownMicros]: full.micros.own }),
        [envoyMicros]: full.micros.envoy,
      };
    },
  };
}

/** Figures would be worthless if the product had left something out. @throws Error where it did */
async function leftOut(
  world: GatehouseWorld,
  calls: { readonly decision: number; readonly inspection: number },
): Promise<readonly string[]> {
  const all = calls.decision + calls.inspection;
  const { decisions, operations } = await world.audited();
  if (decisions < all) throw new Error(`${all} calls ended well but only ${decisions} decisions were audited`);
  if (operations < calls.inspection) {
    throw new Error(`${calls.inspection} calls were to be inspected but only ${operations} operations were audited`);
  }
  return [
    `Checked at the end: ${all} calls through Gatehouse ended well; its audit has ${decisions} decisions and ${operations} operations.`,
  ];
}
