/** What Node writes with `--cpu-prof`, as far as we read it. */
export interface CpuProfile {
  readonly nodes: readonly CpuNode[];
  /** µs of the monotonic clock that `process.hrtime` shows. */
  readonly startTime: number;
  /** Ids of nodes. */
  readonly samples: readonly number[];
  /** µs since the one before. */
  readonly timeDeltas: readonly number[];
}

export interface CpuNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

export interface ProfileWindow {
  /** µs of the same clock. */
  readonly from: number;
  readonly to: number;
}

export interface Share {
  readonly name: string;
  /** Of the time that the thread was busy, from 0 to 1. */
  readonly share: number;
}

export interface FunctionShare extends Share {
  /** "src/flows/authorize.ts", "@grpc/grpc-js: build/src/call.js", "node:internal/…", or "" for the engine itself. */
  readonly file: string;
  readonly part: string;
}

export interface ProfileSummary {
  /** Share of the window in which the thread did anything. */
  readonly busy: number;
  /** By self time, most first. */
  readonly functions: readonly FunctionShare[];
  readonly parts: readonly Share[];
}

/**
 * Which part of the work a file's own time belongs to; the first that fits. What fits none is done on behalf of its caller:
 * a hash of a token's counts as the token's, a copied buffer as whatever it was copied for.
 */
const partsOfFiles: readonly (readonly [string, RegExp])[] = [
  ["token", /^src\/(edges\/oidc|identity)\/|^(jose|lru-cache): /],
  ["audit", /^src\/(edges\/log\/audit|decisions\/(audit|decision-record|printable))|^node:(internal\/)?fs\b/],
  ["metrics", /^src\/edges\/http\/metrics|^prom-client: /],
  ["log", /^src\/edges\/log\/|^(pino|sonic-boom|fast-redact)[\w-]*: /],
  ["activity", /^src\/edges\/envoy\/(read-)?access-log|^src\/flows\/record-activity|^src\/sessions\/activity/],
  ["encode", /^src\/edges\/envoy\/(encode|render|wire-writer|write-|process-(answers|encode))/],
  ["decode", /^src\/edges\/envoy\/(protos|field-reader|read-|process-decode)/],
  ["decode", /^(protobufjs|@grpc\/proto-loader|@protobufjs\/[\w-]+): /],
  ["xDS", /^src\/(xds|snapshots)\/|^src\/edges\/envoy\/ads|^src\/flows\/publish/],
  ["inspection", /^src\/spark\/|^src\/flows\/inspect|^src\/edges\/envoy\/process/],
  ["HTTP side", /^src\/edges\/http\/|^fastify: /],
  ["decision", /^src\/(flows|policy|sessions|drivers|decisions|kernel|wiring)\//],
  ["transport", /^src\/edges\/envoy\/|^@grpc\/grpc-js: |^node:(internal\/)?(http2|net|stream|streams|js_stream)/],
];

/** protobufjs compiles functions of these names, which have no file. */
const compiled: readonly (readonly [string, RegExp])[] = [
  ["activity", /^StreamAccessLogs\w*\$/],
  ["xDS", /^(Delta)?Discovery(Request|Response)\$/],
  ["decode", /^[\w.]*\$(decode|toObject)$/],
  ["encode", /^[\w.]*\$(encode|fromObject|verify)$/],
];

/** Work beside the calls: what is decoded or encoded for it is its own. */
const besideCalls = new Set(["activity", "xDS", "HTTP side"]);

const idle = "(idle)";

/** Where the thread's time went within that window. @param root the folder of the checkout, with a slash at its end */
export function summarize(profile: CpuProfile, window: ProfileWindow, root: string): ProfileSummary {
  const own = selfTimes(profile, window);
  const total = [...own.values()].reduce((sum, time) => sum + time, 0);
  const byFunction = new Map<string, FunctionShare>();
  const byPart = new Map<string, number>();
  let busy = 0;
  for (const { node, part } of walk(profile, root)) {
    const time = own.get(node.id) ?? 0;
    const { functionName, lineNumber, url } = node.callFrame;
    if (time === 0 || functionName === idle) continue;
    busy += time;
    byPart.set(part, (byPart.get(part) ?? 0) + time);
    const file = fileOf(url, root);
    // Functions without a name are told apart by their lines.
    const name = functionName === "" ? `(anonymous, line ${lineNumber + 1})` : functionName;
    const key = [file, name, part].join("\n");
    byFunction.set(key, { name, file, part, share: (byFunction.get(key)?.share ?? 0) + time });
  }
  const shares = <T extends Share>(list: readonly T[]): T[] =>
    list.map((one) => ({ ...one, share: one.share / busy })).sort((a, b) => b.share - a.share);
  return {
    busy: total === 0 ? 0 : busy / total,
    functions: shares([...byFunction.values()]),
    parts: shares([...byPart].map(([name, share]) => ({ name, share }))),
  };
}

function selfTimes({ samples, startTime, timeDeltas }: CpuProfile, { from, to }: ProfileWindow): Map<number, number> {
  const own = new Map<number, number>();
  let at = startTime;
  for (const [index, id] of samples.entries()) {
    at += timeDeltas[index] ?? 0;
    // A sample's time is what passes until the next one.
    const time = timeDeltas[index + 1] ?? 0;
    if (at >= from && at < to) own.set(id, (own.get(id) ?? 0) + time);
  }
  return own;
}

interface Place {
  readonly node: CpuNode;
  readonly part: string;
}

/** All nodes, each with its part. */
function walk({ nodes }: CpuProfile, root: string): readonly Place[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const children = new Set(nodes.flatMap((node) => node.children ?? []));
  const waiting: Place[] = nodes.filter(({ id }) => !children.has(id)).map((node) => ({ node, part: "event loop" }));
  const places: Place[] = [];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const own = partOf(next.node, root);
    const isCodec = own === "decode" || own === "encode";
    const part = own === undefined || (isCodec && besideCalls.has(next.part)) ? next.part : own;
    places.push({ node: next.node, part });
    for (const id of next.node.children ?? []) {
      const node = byId.get(id);
      if (node !== undefined) waiting.push({ node, part });
    }
  }
  return places;
}

function partOf({ callFrame }: CpuNode, root: string): string | undefined {
  const { functionName, url } = callFrame;
  if (functionName === "(garbage collector)") return "garbage collection";
  if (functionName === "(program)") return "the engine and the system";
  const file = fileOf(url, root);
  if (file === "") return compiled.find(([, pattern]) => pattern.test(functionName))?.[0];
  return partsOfFiles.find(([, pattern]) => pattern.test(file))?.[0];
}

/** As people name it: sources instead of what was built from them, packages by their names. */
export function fileOf(url: string, root: string): string {
  const path = url.replace(/^file:\/\//, "");
  const inPackage = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(path);
  if (inPackage !== null) return `${inPackage[1]}: ${inPackage[2]}`;
  const own = path.startsWith(root) ? path.slice(root.length) : path;
  return own.replace(/^dist\/(.*)\.js$/, "src/$1.ts");
}
