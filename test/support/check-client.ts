import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckRequest, Decision } from "../../src/decisions/decision.ts";
import { createCheckHandler } from "../../src/edges/envoy/check.ts";
import { type CheckAnswer, type CheckCall, startCheckServer } from "../../src/edges/envoy/check-server.ts";
import type { Facts } from "../../src/edges/envoy/facts.ts";
import { codec, rpcStatus } from "../../src/edges/envoy/protos.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { type Log, silentLog } from "../../src/kernel/log.ts";
import { shownToRefused } from "../../src/snapshots/check-headers.ts";
import { factsIn } from "./facts.ts";

/** What Envoy asks about a call. */
export interface WireCheck {
  readonly path: string;
  /** Default POST. */
  readonly method?: string;
  /** Values one character for each byte. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What Envoy asks about a Spark Connect call with those headers. */
export function wireCheck(headers: Readonly<Record<string, string>>, method = "ExecutePlan"): WireCheck {
  return {
    path: `/spark.connect.SparkConnectService/${method}`,
    headers: {
      host: "localhost:15003",
      "content-length": "0",
      ...headers,
      "x-envoy-external-address": "127.0.0.9",
      "x-envoy-internal": "true",
      "x-envoy-expected-rq-timeout-ms": "125000",
    },
  };
}

/** The headers of a question, duplicates joined. */
export function headersOf(call: Pick<CheckCall, "rawHeaders"> | undefined): Record<string, string> {
  const headers = Object.create(null) as Record<string, string>;
  const raw = call?.rawHeaders ?? [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] ?? "";
    headers[name] = name in headers ? `${headers[name]},${raw[at + 1]}` : (raw[at + 1] ?? "");
  }
  return headers;
}

/** An answer in Envoy's eyes. */
export interface ReadCheck {
  readonly status: number;
  /** All of them, lower-case names. A name that comes twice is an error. */
  readonly headers: ReadonlyMap<string, string>;
  /** What becomes of it in the metadata. */
  readonly facts: Facts;
}

interface PendingCheck {
  readonly answer: Promise<ReadCheck>;
  cancel(): void;
}

export interface CheckEdge {
  /** Asks and resolves with the answer. @throws Error where there is none */
  check(request: WireCheck): Promise<ReadCheck>;
  /** The same, to be given up. */
  begin(request: WireCheck): PendingCheck;
  close(): Promise<void>;
}

/** The real Check edge on a real server on a Unix socket, and a client of it that can send anything. */
export async function startCheckEdge(
  authorize: (request: CheckRequest) => Promise<Decision>,
  options: { readonly log?: Log; readonly newId?: () => string } = {},
): Promise<CheckEdge> {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-check-"));
  const handler = createCheckHandler({
    clock: systemClock,
    authorize,
    log: options.log ?? silentLog,
    newId: options.newId ?? (() => "edge-1"),
  });
  const server = await startCheckServer({ address: `unix:${join(folder, "s", "check.sock")}`, handler });
  const begin = (request: WireCheck): PendingCheck => ask(server.address.slice("unix:".length), request);
  return {
    check: (request) => begin(request).answer,
    begin,
    async close() {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function ask(socketPath: string, { path, method = "POST", headers }: WireCheck): PendingCheck {
  const asked = httpRequest({
    socketPath,
    path,
    method,
    headers,
    setHost: false,
    timeout: 20_000,
    agent: false,
  });
  const answer = new Promise<ReadCheck>((resolve, reject) => {
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", reject);
    asked.on("response", (response) => {
      response.resume();
      response.on("end", () => resolve(readCheck({ status: response.statusCode ?? 0, headers: response.rawHeaders })));
    });
  });
  asked.end();
  return { answer, cancel: () => asked.destroy() };
}

/** @throws Error where a header comes twice */
function readCheck({ status, headers }: CheckAnswer): ReadCheck {
  const byName = new Map<string, string>();
  for (let at = 0; at < headers.length; at += 2) {
    const name = (headers[at] ?? "").toLowerCase();
    if (byName.has(name)) throw new Error(`${name} comes twice`);
    byName.set(name, headers[at + 1] ?? "");
  }
  return { status, headers: byName, facts: factsIn(byName) };
}

/** How a gRPC client reads a refusal: its status, decoded message and details. */
export interface ReadDenial {
  readonly code: number;
  readonly message: string;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly decisionId: string;
  /** Names and values of all headers together, in bytes. */
  readonly bytes: number;
}

const errorInfo = codec<{ reason: string; domain: string; metadata: Record<string, string> }>("google.rpc.ErrorInfo");
const retryInfo = codec<{ retry_delay?: { seconds?: number; nanos?: number } }>("google.rpc.RetryInfo");

/** @throws Error where a stock client would stumble: no status, or texts that differ */
export function readDenialHeaders(headers: readonly { readonly name: string; readonly value: string }[]): ReadDenial {
  const byName = new Map(headers.map(({ name, value }) => [name, value]));
  if (byName.size !== headers.length) throw new Error("a header occurs twice");
  const code = Number(byName.get("grpc-status"));
  const message = decodeURIComponent(byName.get("grpc-message") ?? "");
  const status = rpcStatus.decode(Buffer.from(byName.get("grpc-status-details-bin") ?? "", "base64"));
  if ((status.code ?? 0) !== code) throw new Error(`codes differ: ${status.code} and ${code}`);
  if ((status.message ?? "") !== message) throw new Error(`texts differ: ${status.message} and ${message}`);
  const detail = (name: string): Uint8Array | undefined =>
    (status.details as readonly { type_url: string; value: Uint8Array }[]).find(({ type_url }) =>
      type_url.endsWith(name),
    )?.value;
  const info = errorInfo.decode(detail("google.rpc.ErrorInfo") ?? new Uint8Array());
  if (info.domain !== "gatehouse") throw new Error("no ErrorInfo of Gatehouse");
  const retry = detail("google.rpc.RetryInfo");
  const delay = retry && retryInfo.decode(retry).retry_delay;
  return {
    code,
    message,
    reason: info.reason,
    metadata: info.metadata,
    retryAfterMs: retry && (delay?.seconds ?? 0) * 1000 + (delay?.nanos ?? 0) / 1_000_000,
    decisionId: byName.get("x-gatehouse-decision-id") ?? "",
    bytes: headers.reduce((sum, { name, value }) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0),
  };
}

/** @throws Error unless the answer refuses the call beyond doubt */
export function readDenial({ status, headers }: ReadCheck): ReadDenial {
  if (status < 400 || status >= 500) throw new Error(`status ${status} is no refusal that Envoy hands on`);
  for (const name of ["x-gatehouse-cluster", "authorization"]) {
    if (headers.has(name)) throw new Error(`${name} in a refusal`);
  }
  const shown = [...headers].filter(([name]) => shownToRefused.some((one) => one === name));
  return readDenialHeaders(shown.map(([name, value]) => ({ name, value })));
}
