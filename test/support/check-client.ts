import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type ClientUnaryCall, credentials, type ServiceError } from "@grpc/grpc-js";
import type { CheckRequest, Decision } from "../../src/decisions/decision.ts";
import { createCheckHandler } from "../../src/edges/envoy/check.ts";
import { authorizationService, codec, rpcStatus } from "../../src/edges/envoy/protos.ts";
import type { CheckResponse } from "../../src/edges/envoy/protos-check.ts";
import { startUnaryServer } from "../../src/edges/envoy/unary-server.ts";
import { type Log, silentLog } from "../../src/kernel/log.ts";

/** What Envoy would send about a call, as plain JSON of the protobuf message. */
export type WireCheck = Readonly<Record<string, unknown>>;

/** The attributes that Envoy sends about a Spark Connect call with those headers. */
export function wireCheck(headers: Readonly<Record<string, string>>, method = "ExecutePlan"): WireCheck {
  const path = `/spark.connect.SparkConnectService/${method}`;
  return {
    attributes: {
      source: { address: { socket_address: { address: "127.0.0.9", port_value: 40001 } } },
      request: {
        http: {
          id: "1234567890",
          method: "POST",
          path,
          host: "localhost:15003",
          headers: { ":path": path, ":method": "POST", ":authority": "localhost:15003", ...headers },
        },
      },
    },
  };
}

interface PendingCheck {
  readonly answer: Promise<CheckResponse>;
  cancel(): void;
}

export interface CheckEdge {
  /** Sends that message, or those bytes, as a Check and resolves with the answer. @throws ServiceError */
  check(request: WireCheck | Uint8Array): Promise<CheckResponse>;
  /** The same, to be given up. */
  begin(request: WireCheck | Uint8Array): PendingCheck;
  close(): Promise<void>;
}

/** The real Check edge on a real server on a Unix socket, and a client of it that can send anything. */
export async function startCheckEdge(
  authorize: (request: CheckRequest) => Promise<Decision>,
  options: { readonly log?: Log; readonly newId?: () => string } = {},
): Promise<CheckEdge> {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-check-"));
  const handler = createCheckHandler({
    authorize,
    log: options.log ?? silentLog,
    newId: options.newId ?? (() => "edge-1"),
  });
  const server = await startUnaryServer({
    address: `unix:${join(folder, "s", "check.sock")}`,
    path: authorizationService.Check.path,
    handle: handler,
  });
  const client = new Client(server.address, credentials.createInsecure());
  const begin = (request: WireCheck | Uint8Array): PendingCheck => {
    let call: ClientUnaryCall | undefined;
    const answer = new Promise<CheckResponse>((resolve, reject) => {
      call = client.makeUnaryRequest(
        authorizationService.Check.path,
        toBytes,
        authorizationService.Check.responseDeserialize,
        request,
        { deadline: Date.now() + 20_000 },
        (error: ServiceError | null, response) => {
          if (error !== null) reject(error);
          else if (response === undefined) reject(new Error("neither an answer nor an error"));
          else resolve(response);
        },
      );
    });
    return { answer, cancel: () => call?.cancel() };
  };
  return {
    check: (request) => begin(request).answer,
    begin,
    async close() {
      client.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const wireRequest = codec<object>("envoy.service.auth.v3.CheckRequest");
const toBytes = (request: WireCheck | Uint8Array): Buffer =>
  request instanceof Uint8Array ? Buffer.from(request) : wireRequest.encode(request);

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
export function readDenial(response: CheckResponse): ReadDenial {
  if ((response.status?.code ?? 0) === 0) throw new Error("status.code 0 lets the call through");
  if (response.ok_response !== undefined) throw new Error("an ok_response in a refusal");
  const denied = response.denied_response;
  if (denied === undefined) throw new Error("no denied_response");
  // Decoded, a code that Envoy knows is its name.
  const http: unknown = denied.status.code;
  if (typeof http !== "string" || http === "OK" || http === "Empty") throw new Error(`HTTP status ${String(http)}`);
  if (denied.body !== undefined) throw new Error("a body would replace the message");
  const read = readDenialHeaders(
    (denied.headers ?? []).map(({ header, append_action }) => {
      if (append_action !== "OVERWRITE_IF_EXISTS_OR_ADD") throw new Error(`${header.key} is not overwritten`);
      return { name: header.key, value: header.value ?? "" };
    }),
  );
  if (read.code !== response.status.code) throw new Error("the codes differ");
  return read;
}
