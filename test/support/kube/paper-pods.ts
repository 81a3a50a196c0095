import { createServer, type IncomingHttpHeaders, type ServerHttp2Session } from "node:http2";
import { status } from "@grpc/grpc-js";
import type { Stored } from "../../../src/edges/kubernetes/objects.ts";
import { type KubeAdmin, pods } from "./access.ts";

/** Pods that nobody runs: a test writes what a kubelet would report. */
export interface PaperPods {
  /** Reports the pod as ready at this address. */
  ready(name: string, ip: string): Promise<void>;
  /** @param status as in the Kubernetes API reference */
  report(name: string, status: object): Promise<void>;
  find(name: string): Promise<Stored | undefined>;
}

export function paperPods(admin: KubeAdmin, namespace: string): PaperPods {
  const report = async (name: string, status: object) =>
    void (await admin.patch(pods, namespace, name, { status }, "status"));
  return {
    report,
    ready: async (name, ip) =>
      await report(name, {
        phase: "Running",
        podIP: ip,
        podIPs: [{ ip }],
        conditions: [{ type: "Ready", status: "True", lastTransitionTime: new Date().toISOString() }],
        containerStatuses: [
          {
            name: "spark-driver",
            ready: true,
            restartCount: 0,
            state: { running: { startedAt: new Date().toISOString() } },
            image: "none",
            imageID: "none",
          },
        ],
      }),
    find: async (name) => await admin.find(pods, namespace, name),
  };
}

/**
 * Something that answers every call as a driver does that knows none of them.
 * @param answer the gRPC status; undefined: none, calls wait
 * @returns what ends it
 */
export async function listenAt(
  host: string,
  port: number,
  answer: (headers: IncomingHttpHeaders) => number | undefined = () => status.UNIMPLEMENTED,
): Promise<() => Promise<void>> {
  const open = new Set<ServerHttp2Session>();
  const server = createServer();
  server.on("session", (session) => {
    open.add(session);
    session.once("close", () => open.delete(session)).on("error", () => undefined);
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    const code = answer(headers);
    if (code === undefined) return;
    const answered = { ":status": 200, "content-type": "application/grpc", "grpc-status": code };
    stream.respond(answered, { endStream: true });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return async () => {
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    for (const session of open) session.destroy();
    await closed;
  };
}
