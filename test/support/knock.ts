import { readFileSync } from "node:fs";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { type ReadDenial, readDenialHeaders } from "./check-client.ts";

/** One call as a client may try it: every part of its head can be something that no gRPC library would send. */
export interface Knock {
  /** Default `/spark.connect.SparkConnectService/Config`. */
  readonly path?: string;
  /** Default POST. */
  readonly method?: string;
  /** `:authority`; default the connection's own. */
  readonly authority?: string;
  /** Code points above 127 are sent as single bytes. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The whole body; default none. */
  readonly body?: Uint8Array;
}

/** How it ended. */
export interface KnockAnswer {
  /** Undefined where the stream was reset before any answer. */
  readonly http: number | undefined;
  /** The gRPC status, undefined where there was none. */
  readonly code: number | undefined;
  readonly decisionId: string | undefined;
  /** The refusal as a gRPC client reads it, where it is one of Gatehouse's. */
  readonly denial: ReadDenial | undefined;
  /** When the answer was there, as `performance.now()` has it. */
  readonly at: number;
}

export interface PendingKnock {
  readonly answer: Promise<KnockAnswer>;
  /** Resets the stream, as a client does that gives a call up. */
  cancel(): void;
}

/** One connection. It leaves everything above HTTP/2 to the caller. */
export interface KnockClient {
  /** Resolves when the connection stands. Calls need not wait for it. */
  readonly connected: Promise<void>;
  begin(knock?: Knock): PendingKnock;
  knock(knock?: Knock): Promise<KnockAnswer>;
  close(): void;
}

export function knockClient(port: number, caFile: string): KnockClient {
  const session = connect(`https://localhost:${port}`, { ca: readFileSync(caFile) });
  session.on("error", () => undefined);
  const begin = (knock: Knock = {}): PendingKnock => {
    const stream = open(session, knock);
    return { answer: answerOf(stream), cancel: () => stream.close(8) };
  };
  return {
    connected: new Promise((resolve) => {
      session.once("connect", () => resolve());
    }),
    begin,
    knock: (knock) => begin(knock).answer,
    close: () => session.destroy(),
  };
}

function open(session: ClientHttp2Session, { path, method, authority, headers, body }: Knock): ClientHttp2Stream {
  const stream = session.request({
    ":method": method ?? "POST",
    ":path": path ?? "/spark.connect.SparkConnectService/Config",
    ...(authority === undefined ? {} : { ":authority": authority }),
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  stream.end(body);
  return stream;
}

/** Waits for the end of that stream. */
export async function answerOf(stream: ClientHttp2Stream): Promise<KnockAnswer> {
  const fields: Record<string, string> = {};
  const take = (headers: object): void => {
    for (const [name, value] of Object.entries(headers)) fields[name] = String(value);
  };
  stream.on("response", take);
  stream.on("trailers", take);
  stream.on("error", () => undefined);
  stream.resume();
  await new Promise<void>((resolve) => {
    stream.once("close", () => resolve());
  });
  const at = performance.now();
  const { ":status": http, "grpc-status": code, "x-gatehouse-decision-id": decisionId } = fields;
  return {
    http: http === undefined ? undefined : Number(http),
    code: code === undefined ? undefined : Number(code),
    decisionId,
    denial: "grpc-status-details-bin" in fields && decisionId !== undefined ? denialOf(fields) : undefined,
    at,
  };
}

const denialHeaders = ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-gatehouse-decision-id"];

function denialOf(fields: Readonly<Record<string, string>>): ReadDenial {
  return readDenialHeaders(denialHeaders.map((name) => ({ name, value: fields[name] ?? "" })));
}
