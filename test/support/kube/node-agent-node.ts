import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import type { Collection, KubeAdmin } from "./access.ts";

export interface NodeFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly kubeletPort: number;
}

const nodes: Collection = { apiVersion: "v1", plural: "nodes" };
const resources = { cpu: "64", memory: "256Gi", pods: "1000", "ephemeral-storage": "1Ti" };

/** Makes the Node, ready and without taints; one of that name that is there already is taken over. */
export async function registerNode(admin: KubeAdmin, { name, labels, kubeletPort }: NodeFacts): Promise<void> {
  try {
    await admin.create(nodes, { apiVersion: "v1", kind: "Node", metadata: { name, labels } });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 409) throw error;
  }
  // The API server taints every new node as not ready.
  await admin.patch(nodes, undefined, name, { metadata: { labels }, spec: { taints: null } });
  const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const times = { lastHeartbeatTime: now, lastTransitionTime: now };
  const status = {
    capacity: resources,
    allocatable: resources,
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
    conditions: [{ type: "Ready", status: "True", reason: "KubeletReady", message: "ready", ...times }],
  };
  await admin.patch(nodes, undefined, name, { status }, "status");
}

export async function removeNode(admin: KubeAdmin, name: string): Promise<void> {
  await admin.delete(nodes, undefined, name);
}
