import { type ClientHttp2Session, connect } from "node:http2";

/** One kind of call, repeated. */
export interface LoadPlan {
  /** `https://host:port`. */
  readonly origin: string;
  /** PEM of the authority that signed the server's certificate. */
  readonly ca: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** One framed gRPC message, base64: a plan travels between processes as JSON. */
  readonly bodyBase64: string;
  readonly connections: number;
  readonly seconds: number;
  /** Calls under way at once (closed loop), or calls begun per second whatever is under way (open loop). */
  readonly pace: { readonly concurrency: number } | { readonly perSecond: number };
}

export interface LoadResult {
  readonly calls: number;
  readonly failed: number;
  /** How the first of them ended; undefined where none failed. */
  readonly firstFailure: string | undefined;
  readonly perSecond: number;
  /** Milliseconds from when the call was due to the end of its answer. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Runs the plan and answers its figures. A call counts as failed unless it ends with `grpc-status: 0`. */
export async function runLoad(plan: LoadPlan): Promise<LoadResult> {
  const sessions = await Promise.all(Array.from({ length: plan.connections }, () => open(plan)));
  const latencies: number[] = [];
  let failed = 0;
  let firstFailure: string | undefined;
  const call = async (index: number, due: number): Promise<void> => {
    const session = sessions[index % sessions.length];
    if (session === undefined) throw new Error("a load needs at least one connection");
    const fault = await oneCall(session, plan);
    if (fault !== undefined) failed += 1;
    firstFailure ??= fault;
    latencies.push(performance.now() - due);
  };
  const begun = performance.now();
  await ("concurrency" in plan.pace
    ? closedLoop(plan.pace.concurrency, begun + plan.seconds * 1000, call)
    : openLoop(plan.pace.perSecond, plan.seconds, call));
  const elapsed = (performance.now() - begun) / 1000;
  for (const session of sessions) session.destroy();
  latencies.sort((a, b) => a - b);
  const quantile = (q: number) => latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? 0;
  return {
    calls: latencies.length,
    failed,
    firstFailure,
    perSecond: latencies.length / elapsed,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
  };
}

type Call = (index: number, due: number) => Promise<void>;

async function closedLoop(concurrency: number, until: number, call: Call): Promise<void> {
  const lane = async (index: number): Promise<void> => {
    while (performance.now() < until) await call(index, performance.now());
  };
  await Promise.all(Array.from({ length: concurrency }, (_, index) => lane(index)));
}

async function openLoop(perSecond: number, seconds: number, call: Call): Promise<void> {
  const total = Math.round(perSecond * seconds);
  const begun = performance.now();
  const calls: Promise<void>[] = [];
  while (calls.length < total) {
    const due = begun + (calls.length * 1000) / perSecond;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    calls.push(call(calls.length, due));
  }
  await Promise.all(calls);
}

function open(plan: LoadPlan): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const session = connect(plan.origin, { ca: plan.ca });
    session.once("connect", () => resolve(session));
    session.once("error", reject);
  });
}

/** Resolves with what went wrong, in words, or undefined. */
function oneCall(session: ClientHttp2Session, plan: LoadPlan): Promise<string | undefined> {
  return new Promise((resolve) => {
    const stream = session.request({ ":method": "POST", ":path": plan.path, ...plan.headers });
    let status: unknown;
    let words: unknown = "no message";
    const note = (headers: Readonly<Record<string, unknown>>): void => {
      status = headers["grpc-status"] ?? status;
      words = headers["grpc-message"] ?? words;
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("error", (error) => {
      words = error.message;
    });
    stream.on("close", () => {
      resolve(status === "0" ? undefined : `grpc-status ${String(status)}: ${String(words)}`);
    });
    stream.resume();
    stream.end(Buffer.from(plan.bodyBase64, "base64"));
  });
}
