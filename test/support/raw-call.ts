import { readFileSync } from "node:fs";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { framesIn } from "./spark-wire.ts";

/** How a raw call ended. */
export interface RawOutcome {
  /** The gRPC status; undefined where the stream was reset without one. */
  readonly code: number | undefined;
  readonly message: string;
  readonly decisionId: string | undefined;
  /** The messages of the answer. */
  readonly messages: readonly Uint8Array[];
}

export interface RawCall {
  /** Sends bytes as they are; resolves when the transport takes more, or the call is over. */
  write(bytes: Uint8Array): Promise<void>;
  /** Half-closes. */
  end(): void;
  readonly done: Promise<RawOutcome>;
}

/** A client that speaks HTTP/2 and leaves everything above it to the test: nothing is checked, nothing repaired. */
export interface RawChannel {
  open(method: string): RawCall;
  /** One call with that body, cut into chunks of that size where one is given. */
  call(method: string, body: Uint8Array, chunkBytes?: number): Promise<RawOutcome>;
  close(): void;
}

export interface RawChannelOptions {
  /** `https://host:port` */
  readonly url: string;
  readonly caFile: string;
  /** Sent with each call. */
  readonly headers: Readonly<Record<string, string>>;
}

export function rawChannel(options: RawChannelOptions): RawChannel {
  const session = connect(options.url, { ca: readFileSync(options.caFile) });
  session.on("error", () => undefined);
  const channel: RawChannel = {
    open: (method) => open(session, method, options.headers),
    async call(method, body, chunkBytes = body.length) {
      const call = channel.open(method);
      for (let at = 0; at < body.length; at += chunkBytes) await call.write(body.subarray(at, at + chunkBytes));
      call.end();
      return await call.done;
    },
    close: () => session.destroy(),
  };
  return channel;
}

function open(session: ClientHttp2Session, method: string, headers: Readonly<Record<string, string>>): RawCall {
  const stream = session.request({
    ":method": "POST",
    ":path": `/spark.connect.SparkConnectService/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  const closed = new Promise<void>((resolve) => {
    stream.on("close", () => resolve());
  });
  return {
    done: outcomeOf(stream, closed),
    end: () => void stream.end(),
    write: (bytes) =>
      new Promise((resolve) => {
        void closed.then(resolve);
        if (stream.destroyed) return;
        stream.write(bytes, () => resolve());
      }),
  };
}

async function outcomeOf(stream: ClientHttp2Stream, closed: Promise<void>): Promise<RawOutcome> {
  const fields: Record<string, string> = {};
  const take = (headers: object): void => {
    for (const [name, value] of Object.entries(headers)) fields[name] = String(value);
  };
  const body: Buffer[] = [];
  stream.on("response", take);
  stream.on("trailers", take);
  stream.on("data", (bytes: Buffer) => body.push(bytes));
  stream.on("error", () => undefined);
  await closed;
  const code = fields["grpc-status"];
  return {
    code: code === undefined ? undefined : Number(code),
    message: decodeURIComponent(fields["grpc-message"] ?? ""),
    decisionId: fields["x-gatehouse-decision-id"],
    messages: framesIn(Buffer.concat(body)),
  };
}
