import { setTimeout as delay } from "node:timers/promises";
import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import { type KubeAdmin, pods } from "./access.ts";
import { type Observed, podStatus, unschedulable } from "./kubelet-status.ts";
import { type AgentPod, podPath } from "./kubelet-types.ts";
import type { PodRun } from "./node-agent-pod.ts";

const retryMs = 250;

/** Reports what changed of the pod. Resolves when the API server has it, or when there is no such pod any more. */
export async function report(run: PodRun, change: Partial<Observed>): Promise<void> {
  run.observed = { ...run.observed, ...change };
  await writeStatus(run, podStatus(run.pod, run.observed, now()));
}

export async function reportUnschedulable(run: PodRun): Promise<void> {
  await writeStatus(run, unschedulable(run.pod, now()));
}

/** What a scheduler does. */
export async function bindPod(run: PodRun): Promise<void> {
  const { name, uid } = run.pod.metadata;
  const target = { apiVersion: "v1", kind: "Node", name: run.world.nodeName };
  const body = { apiVersion: "v1", kind: "Binding", metadata: { name, uid }, target };
  await insist(run, async (admin) => await admin.request("POST", `${podPath(run.pod)}/binding`, { body }));
}

/** What a kubelet does when a pod that is to be deleted has ended. */
export async function deletePod(run: PodRun): Promise<void> {
  const body = { apiVersion: "v1", kind: "DeleteOptions", gracePeriodSeconds: 0, preconditions: { uid: run.uid } };
  await insist(run, async (admin) => await admin.request("DELETE", podPath(run.pod), { body }));
}

async function writeStatus(run: PodRun, status: unknown): Promise<void> {
  const { namespace, name } = run.pod.metadata;
  const change = { metadata: { uid: run.uid }, status };
  const stored = await insist(run, async (admin) => await admin.patch(pods, namespace, name, change, "status"));
  if (stored !== undefined) run.pod = stored as AgentPod;
}

/** Tries until the API server answers, unless it refuses: then the pod is gone, or another has its name. */
async function insist(run: PodRun, step: (admin: KubeAdmin) => Promise<unknown>): Promise<unknown> {
  const { admin, closed } = run.world;
  while (!closed.aborted) {
    try {
      return await step(admin);
    } catch (error) {
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) {
        if (error.status !== 404 && error.status !== 409) throw error;
        return undefined;
      }
      await delay(retryMs, undefined, { signal: closed }).catch(() => undefined);
    }
  }
  return undefined;
}

const now = (): string => new Date().toISOString().replace(/\.\d+Z$/, "Z");
