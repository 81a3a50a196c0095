import { processorMicros, runPeer } from "./children.ts";

/** One kind of call, repeated. */
export interface LoadPlan {
  /** `https://localhost:PORT`. */
  readonly origin: string;
  /** PEM file of the authority that signed the server's certificate. */
  readonly caFile: string;
  /** "/package.Service/Method". */
  readonly method: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** One token per line: call i sends line (`tokenOffset` + i) mod n as its bearer token. */
  readonly tokensFile?: string;
  readonly tokenOffset?: number;
  /** The message without its frame. */
  readonly bodyBase64: string;
  readonly connections: number;
  readonly seconds: number;
  /** Calls under way at once (closed loop). Either this or `perSecond`. */
  readonly concurrency?: number;
  /** Calls begun per second whatever is under way (open loop); latency counts from when a call was due. */
  readonly perSecond?: number;
  /** Name of the gRPC code that every call must end with. */
  readonly expect: string;
  /** Then each call is a stream of messages like the body, this many bytes in all. */
  readonly uploadBytes?: number;
}

export interface LoadResult {
  readonly calls: number;
  readonly failed: number;
  readonly firstFailure?: string;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly bytesPerSecond?: number;
}

/**
 * Runs the plan in a process of its own: the client's work must not share an event loop with what it measures.
 * @throws Error where a call ended otherwise than expected, or none ended: such figures are worth nothing
 */
export async function runLoad(peers: string, plan: LoadPlan): Promise<LoadResult> {
  const result = JSON.parse(await runPeer(peers, ["load"], `${JSON.stringify(plan)}\n`)) as LoadResult;
  if (result.failed > 0) {
    throw new Error(`${result.failed} of ${result.calls} calls failed; the first: ${result.firstFailure ?? "unknown"}`);
  }
  if (result.calls === 0) throw new Error("not one call ended");
  return result;
}

/** What a load showed, and what it cost those processes. */
export interface WatchedLoad<K extends string> extends LoadResult {
  /** Processor time of that process (all its threads) per call, in µs. */
  readonly micros: Readonly<Record<K, number>>;
}

/** `runLoad`, with an eye on those processes (name → id). Processor time is counted in hundredths of a second. */
export async function runWatchedLoad<K extends string>(
  peers: string,
  plan: LoadPlan,
  watched: Readonly<Record<K, number>>,
): Promise<WatchedLoad<K>> {
  const names = Object.keys(watched) as K[];
  const before = names.map((name) => processorMicros(watched[name]));
  const result = await runLoad(peers, plan);
  const micros = names.map((name, i) => [name, (processorMicros(watched[name]) - (before[i] ?? 0)) / result.calls]);
  return { ...result, micros: Object.fromEntries(micros) as Record<K, number> };
}
