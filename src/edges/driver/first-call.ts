import { randomUUID } from "node:crypto";
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { connect, isIPv6 } from "node:net";
import { status } from "@grpc/grpc-js";
import type { DriverAddress } from "../../drivers/driver.ts";
import type { FirstCall } from "../../drivers/first-call.ts";
import type { Secret } from "../../kernel/secret.ts";

/** The answers of a server that is not there yet, or that is not the one which knows our token. */
const refusals = new Set<number>([
  status.UNAVAILABLE,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.INTERNAL,
]);

/**
 * First calls as gRPC in plain text, as Envoy makes all others. Not by grpc-js: it keeps the connection to a server that says
 * nothing for longer than the call.
 * @param limitMs of a call, its connection included
 */
export function createFirstCall(limitMs = 10_000): FirstCall {
  return {
    accepts,
    async refusal(address, token, signal) {
      const code = await releaseNothing(address, token, { limitMs, signal });
      return refusals.has(code) ? (status[code] ?? "UNAVAILABLE") : undefined;
    },
  };
}

async function accepts({ host, port }: DriverAddress, limitMs: number, signal?: AbortSignal): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port, timeout: limitMs });
    const end = (accepted: boolean) => {
      signal?.removeEventListener("abort", giveUp);
      socket.destroy();
      resolve(accepted);
    };
    const giveUp = () => end(false);
    socket.once("connect", () => end(true));
    socket.once("timeout", giveUp);
    socket.once("error", giveUp);
    signal?.addEventListener("abort", giveUp, { once: true });
    if (signal?.aborted === true) giveUp();
  });
}

/**
 * Releases a session that nobody has: passes the token check, and makes nothing on the driver. Spark 3.5 lacks it, and says so.
 * @returns the server's gRPC status, or what came instead of one
 */
async function releaseNothing(
  { host, port }: DriverAddress,
  token: Secret | undefined,
  { limitMs, signal }: { readonly limitMs: number; readonly signal: AbortSignal | undefined },
): Promise<number> {
  if (signal?.aborted === true) return status.CANCELLED;
  // Ours alone: no proxy is asked, and nothing of it outlives the call.
  const session = connectHttp2(`http://${isIPv6(host) ? `[${host}]` : host}:${port}`);
  let giveUp = () => {};
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve) => {
      giveUp = () => resolve(status.CANCELLED);
      signal?.addEventListener("abort", giveUp, { once: true });
      timer = setTimeout(() => resolve(status.DEADLINE_EXCEEDED), limitMs);
      session.on("error", () => resolve(status.UNAVAILABLE));
      send(session, token, limitMs, resolve);
    });
  } catch {
    // The session was over before the call.
    return status.UNAVAILABLE;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
    session.destroy();
  }
}

/** @param end told the status once; UNAVAILABLE where the stream ends without one: what is there is no gRPC server */
function send(
  session: ClientHttp2Session,
  token: Secret | undefined,
  limitMs: number,
  end: (code: number) => void,
): void {
  const stream = session.request({
    ":method": "POST",
    ":path": "/spark.connect.SparkConnectService/ReleaseSession",
    "content-type": "application/grpc",
    te: "trailers",
    "grpc-timeout": `${limitMs}m`,
    ...(token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` }),
  });
  const take = ({ "grpc-status": code }: IncomingHttpHeaders) => {
    if (typeof code === "string" && /^\d{1,2}$/.test(code)) end(Number(code));
  };
  stream.on("response", take).on("trailers", take);
  stream.on("error", () => end(status.UNAVAILABLE));
  stream.once("close", () => end(status.UNAVAILABLE));
  stream.resume();
  const message = releaseSession();
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
}

/** ReleaseSessionRequest: session_id = 1, user_context = 2 { user_id = 1 }. */
function releaseSession(): Buffer {
  const text = (field: number, value: Buffer) => Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), value]);
  return Buffer.concat([text(1, Buffer.from(randomUUID())), text(2, text(1, Buffer.from("gatehouse")))]);
}
