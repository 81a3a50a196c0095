import { createServer } from "node:net";
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

/** Something that listens and says nothing. @returns what ends it */
export async function listenAt(host: string, port: number): Promise<() => Promise<void>> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return async () => await new Promise((resolve) => void server.close(() => resolve()));
}
