import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import type { Secret } from "../../kernel/secret.ts";
import { listensAt } from "./listener.ts";

export interface ReadyProbe {
  /** The driver's process. */
  readonly pid: number;
  readonly address: { readonly host: string; readonly port: number };
  readonly token: Secret | undefined;
  readonly signal: AbortSignal;
}

const connectEveryMs = 50;
const callTimeoutMs = 10_000;

/** Resolves once the driver itself listens and has answered a call that carries its token. @throws the signal's reason when it aborts */
export async function untilReady({ pid, address, token, signal }: ReadyProbe): Promise<void> {
  const { host, port } = address;
  while (!(await accepts(address)) || listensAt(pid, host, port) === false || !(await answers(address, token))) {
    await delay(connectEveryMs, undefined, { signal });
  }
  signal.throwIfAborted();
}

/** Whether somebody accepts connections there. */
export async function accepts({ host, port }: ReadyProbe["address"]): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1_000 });
    const end = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
  });
}

/** The answers of a server that is not there yet, or that is not the one which knows our token. */
const refusals = new Set<number>([
  status.UNAVAILABLE,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.INTERNAL,
]);

/** Releases a session that nobody has: passes the token check, and makes nothing on the driver. Spark 3.5 lacks it, and says so. */
async function answers({ host, port }: ReadyProbe["address"], token: Secret | undefined): Promise<boolean> {
  const client = new Client(`${host}:${port}`, credentials.createInsecure(), {
    "grpc.enable_http_proxy": 0,
    "grpc.use_local_subchannel_pool": 1,
  });
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token.reveal()}`);
  try {
    return await new Promise((resolve) => {
      client.makeUnaryRequest(
        "/spark.connect.SparkConnectService/ReleaseSession",
        (request: Buffer) => request,
        (answer: Buffer) => answer,
        releaseSession(),
        metadata,
        { deadline: Date.now() + callTimeoutMs },
        (error) => resolve(error === null || !refusals.has(error.code)),
      );
    });
  } finally {
    client.close();
  }
}

/** ReleaseSessionRequest: session_id = 1, user_context = 2 { user_id = 1 }. */
function releaseSession(): Buffer {
  const text = (field: number, value: Buffer) => Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), value]);
  return Buffer.concat([text(1, Buffer.from(randomUUID())), text(2, text(1, Buffer.from("gatehouse")))]);
}
