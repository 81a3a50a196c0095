import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { mergeConfig } from "../../../deploy/local/gatehouse-config.ts";
import { configRequest } from "../config-request.ts";
import type { BenchContext } from "../context.ts";
import { type LoadPlan, type LoadResult, runLoad, runWatchedLoad } from "../load.ts";
import { type PeerEnvoy, startPeerEnvoy } from "../peer-envoys.ts";
import type { Figure, Prepared, Scenario, Target, Variant } from "../scenario.ts";
import { badlySigned, startTokenMint, type TokenMint } from "../token-mint.ts";
import { type GatehouseWorld, startGatehouseWorld } from "../world.ts";

const rate = "calls per second at 32 at once";
const ownMicros = "processor time of the authorizing process per call";

const figures: readonly Figure[] = [
  { name: rate, unit: "calls/s", digits: 0, better: "more", plot: true },
  { name: ownMicros, unit: "µs", digits: 1, better: "less", plot: true },
];

const systems = ["Go ext_authz", "Gatehouse"] as const;
type System = (typeof systems)[number];

/** A cache of so many tokens, and so many in turn: whichever comes next was pushed out before. */
const forgetful = { remembered: 1000, inTurn: 3000 } as const;
const manyGood = 10_000;

const hot = "hot";
const distinct = "10,000 good in turn";
const coldRs = "cold RS256";
const coldEs = "cold ES256";
const badAgain = "one bad signature again and again";
const badRs = "bad signatures, RS256";
const badEs = "bad signatures, ES256";
const expired = "expired, RS256";

interface Kind {
  readonly name: string;
  /** Which of the two worlds: with room for all of its tokens, or without. */
  readonly world: "roomy" | "forgetful";
  readonly expect: "OK" | "UNAUTHENTICATED";
  tokens(mint: TokenMint, made: ReadonlyMap<string, readonly string[]>): Promise<readonly string[]>;
}

/** In the order of the report; a kind may use the tokens of those before it. */
const kinds: readonly Kind[] = [
  { name: hot, world: "roomy", expect: "OK", tokens: async (mint) => await mint.mint("RS256", 1) },
  { name: distinct, world: "roomy", expect: "OK", tokens: async (mint) => await mint.mint("RS256", manyGood) },
  {
    name: badAgain,
    world: "roomy",
    expect: "UNAUTHENTICATED",
    tokens: async (_, made) => (made.get(hot) ?? []).map(badlySigned),
  },
  cold(coldRs, "OK", async (mint) => await mint.mint("RS256", forgetful.inTurn)),
  cold(coldEs, "OK", async (mint) => await mint.mint("ES256", forgetful.inTurn)),
  cold(badRs, "UNAUTHENTICATED", async (_, made) => (made.get(coldRs) ?? []).map(badlySigned)),
  cold(badEs, "UNAUTHENTICATED", async (_, made) => (made.get(coldEs) ?? []).map(badlySigned)),
  cold(expired, "UNAUTHENTICATED", async (mint) => await mint.mint("RS256", forgetful.inTurn, { exp: 1_700_000_000 })),
];

function cold(name: string, expect: Kind["expect"], tokens: Kind["tokens"]): Kind {
  return { name, world: "forgetful", expect, tokens };
}

const of = (system: System, kind: string): string => `${system}, ${kind}`;

function ofGo(kind: string): Target {
  const [go, gatehouse] = systems;
  const text = `${kind}, of the Go server's calls/s`;
  return { text, figure: rate, variant: of(gatehouse, kind), per: of(go, kind), atLeast: 0.6 };
}

function cheaper(kind: string, than: string): Target {
  const text = `${kind}: Gatehouse's processor time, of that for ${than}`;
  return { text, figure: ownMicros, variant: of("Gatehouse", kind), per: of("Gatehouse", than), atMost: 1 };
}

const targets: readonly Target[] = [
  ofGo(coldRs),
  ofGo(coldEs),
  {
    text: `${distinct}, of the hot token's calls/s`,
    figure: rate,
    variant: of("Gatehouse", distinct),
    per: of("Gatehouse", hot),
    atLeast: 0.8,
  },
  cheaper(badAgain, hot),
  cheaper(badRs, coldRs),
  cheaper(badEs, coldEs),
  cheaper(expired, coldRs),
];

const about = `The call of the door's scenario, decision only, 32 under way at once, with other tokens. Hot: one token that
everyone has seen before (RS256). 10,000 good tokens in turn, which both caches hold. Cold: every token has to be verified, because
the cache holds ${forgetful.remembered} and ${forgetful.inTurn} come in turn. Bad: good tokens with another signature, one of them again
and again or all of them in turn; expired: well signed, long ago. Bad tokens are refused with UNAUTHENTICATED and audited like
all others. The Go server remembers good tokens only.`;

/** Must-reach 2: tokens that were not seen before, many tokens, bad tokens. */
export const tokens: Scenario = {
  id: "tokens",
  title: "Tokens: cold, many, bad",
  about,
  figures,
  targets,
  warmUps: 3,
  prepare,
};

/** One Gatehouse and one Go server that remember as many tokens. */
interface Pair {
  readonly gatehouse: GatehouseWorld;
  readonly go: PeerEnvoy;
  /** Of Gatehouse, that ended as expected. */
  calls: number;
}

async function prepare(context: BenchContext): Promise<Prepared> {
  const ends: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    const mint = await startTokenMint();
    ends.push(async () => await mint.close());
    const pairs = {
      roomy: await startPair(context, { mint, ends, name: "roomy" }),
      forgetful: await startPair(context, { mint, ends, name: "forgetful", remembered: forgetful.remembered }),
    };
    const made = new Map<string, readonly string[]>();
    const variants: Variant[] = [];
    for (const kind of kinds) {
      const list = await kind.tokens(mint, made);
      made.set(kind.name, list);
      for (const system of systems) variants.push(variant(context, pairs[kind.world], { system, kind, list }));
    }
    const finish = async (): Promise<readonly string[]> => [
      await audited(Object.values(pairs)),
      await nothingPushedOut(context, pairs.forgetful, made),
    ];
    return { variants, finish, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface PairOptions {
  readonly mint: TokenMint;
  readonly ends: (() => Promise<void>)[];
  readonly name: string;
  /** Default: what each remembers by itself. */
  readonly remembered?: number;
}

async function startPair(context: BenchContext, { mint, ends, name, remembered }: PairOptions): Promise<Pair> {
  const small = remembered === undefined ? {} : { identity: { token_cache: { max_entries: remembered } } };
  const gatehouse = await startGatehouseWorld(context, { config: mergeConfig(mint.config, small) });
  ends.push(async () => await gatehouse.close());
  const folder = join(context.folder, name);
  mkdirSync(folder);
  const go = await startPeerEnvoy("authz", {
    ...context,
    ...(await gatehouse.forPeers()),
    folder,
    issuer: mint.issuer,
    ...(remembered === undefined ? {} : { remembered }),
  });
  ends.push(async () => await go.close());
  return { gatehouse, go, calls: 0 };
}

interface Measured {
  readonly system: System;
  readonly kind: Kind;
  readonly list: readonly string[];
}

function variant(context: BenchContext, pair: Pair, { system, kind, list }: Measured): Variant {
  const { gatehouse, go } = pair;
  const tokensFile = gatehouse.tokensFile(list);
  const ours = system === "Gatehouse";
  const own = ours ? gatehouse.gatehousePid : go.authzPid;
  if (own === undefined) throw new Error("nobody decides for that Envoy");
  const plan = planFor(gatehouse, ours ? gatehouse.origin : go.origin, { tokensFile, expect: kind.expect });
  let sent = 0;
  const load = async () => {
    // Where one load ends the next one goes on: what came last is what is remembered.
    const timed = { ...plan, seconds: context.seconds, tokenOffset: sent % list.length };
    const result = await runWatchedLoad(context.peers, timed, { own });
    sent += result.calls;
    if (ours) pair.calls += result.calls;
    return result;
  };
  return {
    name: of(system, kind.name),
    async measure() {
      // What is to be remembered was seen before anything counts, also where the uncounted round alone is too short.
      while (kind.world === "roomy" && sent < list.length) await load();
      const result = await load();
      return { [rate]: result.perSecond, [ownMicros]: result.micros.own };
    },
  };
}

function planFor(
  { caFile, sessions }: GatehouseWorld,
  origin: string,
  special: Pick<LoadPlan, "tokensFile" | "expect">,
): Omit<LoadPlan, "seconds"> {
  const metadata = { "x-spark-session-id": sessions.decision };
  return { ...configRequest, origin, caFile, metadata, connections: 4, concurrency: 32, ...special };
}

/** Figures would be worthless if decisions had not been recorded. @throws Error where one was not */
async function audited(pairs: readonly Pair[]): Promise<string> {
  let all = 0;
  for (const { gatehouse, calls } of pairs) {
    const { decisions } = await gatehouse.audited();
    if (decisions < calls) throw new Error(`${calls} calls ended as expected but ${decisions} decisions were audited`);
    all += calls;
  }
  return `Checked at the end: the decisions about all ${all} calls through Gatehouse are in its audits.`;
}

/** Good tokens, then more bad ones than the cache has room for, then the good ones again. @throws Error where one is gone */
async function nothingPushedOut(
  { peers }: BenchContext,
  { gatehouse }: Pair,
  made: ReadonlyMap<string, readonly string[]>,
): Promise<string> {
  const run = async (list: readonly string[], expect: Kind["expect"]): Promise<LoadResult> => {
    const tokensFile = gatehouse.tokensFile(list);
    return await runLoad(peers, { ...planFor(gatehouse, gatehouse.origin, { tokensFile, expect }), seconds: 2 });
  };
  const looks = async (result: string): Promise<number> =>
    (await gatehouse.metrics()).value("gatehouse_token_cache_total", { result });
  const good = (made.get(coldRs) ?? []).slice(0, forgetful.remembered);
  await run(good, "OK");
  const bad = [badRs, badEs, expired].flatMap((name) => made.get(name) ?? []);
  const flood = await run(bad, "UNAUTHENTICATED");
  const missed = await looks("miss");
  const again = await run(good, "OK");
  const gone = (await looks("miss")) - missed;
  if (gone > 0) throw new Error(`${gone} good tokens were pushed out of the cache by bad ones`);
  return `And a cache full of ${good.length} good tokens was the same after ${flood.calls} calls with ${bad.length} bad ones: ${again.calls} calls, no miss.`;
}
