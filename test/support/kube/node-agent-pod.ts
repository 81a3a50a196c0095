import { setTimeout as delay } from "node:timers/promises";
import type { Tools } from "../../../deploy/local/tools.ts";
import { createFirstCall } from "../../../src/edges/driver/first-call.ts";
import type { ContainerState } from "../../../src/edges/kubernetes/objects.ts";
import type { KubeAdmin } from "./access.ts";
import { type ContainerCommand, containerCommand, MissingConfig } from "./kubelet-env.ts";
import { probedPort } from "./kubelet-probe.ts";
import type { Observed } from "./kubelet-status.ts";
import type { AgentContainer, AgentPod } from "./kubelet-types.ts";
import { bindPod, deletePod, report, reportUnschedulable } from "./node-agent-report.ts";
import { containerFiles, isImage, type PodProcess, startPodProcess, type Terminated } from "./pod-process.ts";

/** What all pods of one node share. */
export interface PodWorld {
  readonly admin: KubeAdmin;
  readonly tools: Tools;
  readonly javaArguments: readonly string[];
  readonly folder: string;
  readonly nodeName: string;
  readonly nodeLabels: Readonly<Record<string, string>>;
  /** The first wait before a container is started a third time; doubled each time. ms */
  readonly crashBackoffMs: number;
  /** Aborts when the agent stops: nothing is reported any more. */
  readonly closed: AbortSignal;
  takeIp(): Promise<string>;
}

/** One pod on the node, from its binding to its end. */
export interface PodRun {
  readonly world: PodWorld;
  readonly uid: string;
  pod: AgentPod;
  observed: Observed;
  process: PodProcess | undefined;
  /** Of the container that runs or ran last; undefined before. */
  logFile: string | undefined;
  previousLogFile: string | undefined;
  /** Aborts once the pod has to end: nothing is started any more. */
  readonly over: AbortController;
  terminating: boolean;
  /** The address at which it is started anew when its process has ended. */
  moveTo: string | undefined;
  /** Resolves when nothing runs and nothing will; never rejects. */
  living: Promise<void>;
}

const retryMs = 250;
const probeMs = 50;
const firstCall = createFirstCall();

/** Runs the pod until it has ended, or is ended by one of the functions below. */
export function runPod(world: PodWorld, pod: AgentPod): PodRun {
  const run: PodRun = {
    world,
    uid: pod.metadata.uid,
    pod,
    observed: { phase: "Pending", state: {}, restarts: 0, ready: false, ip: undefined },
    process: undefined,
    logFile: undefined,
    previousLogFile: undefined,
    over: new AbortController(),
    terminating: false,
    moveTo: undefined,
    living: Promise.resolve(),
  };
  const { phase } = pod.status ?? {};
  if (phase !== "Succeeded" && phase !== "Failed")
    run.living = live(run).catch(async (error) => await giveUp(run, error));
  updatePod(run, pod);
  return run;
}

/** Takes a newer version of the pod; one that is to be deleted ends it, with its grace, and then removes it. */
export function updatePod(run: PodRun, pod: AgentPod): void {
  run.pod = pod;
  if (pod.metadata.deletionTimestamp === undefined || run.terminating) return;
  run.terminating = true;
  void endPod(run, (pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000).then(async () => await deletePod(run));
}

/** Resolves when nothing of the pod runs. */
export async function endPod(run: PodRun, graceMs: number): Promise<void> {
  run.over.abort();
  await run.process?.end(graceMs);
  await run.living;
}

/** What a kubelet does to a pod when its node has too little memory: the pod object stays. */
export async function evictPod(run: PodRun): Promise<void> {
  await endPod(run, 0);
  const message =
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi. " +
    `Container ${main(run).name} was using 1Gi, request is 0, has larger consumption of memory. `;
  const state = { terminated: { exitCode: 137, reason: "Error" } };
  await report(run, { phase: "Failed", reason: "Evicted", message, state, ready: false });
}

/** Ends the pod's process and starts it anew at another address, as after a restart of the pod's sandbox. */
export async function movePod(run: PodRun, ip: string): Promise<void> {
  run.moveTo = ip;
  await run.process?.end(0);
}

/** The container that is run: the one that Spark's operators look for, else the first. */
const main = ({ pod: { spec } }: PodRun): AgentContainer =>
  spec.containers.find(({ name }) => name === "spark-kubernetes-driver") ?? spec.containers[0]!;

async function live(run: PodRun): Promise<void> {
  const { world, over } = run;
  const wanted = Object.entries(run.pod.spec.nodeSelector ?? {});
  if (!wanted.every(([name, value]) => world.nodeLabels[name] === value)) return await reportUnschedulable(run);
  if (run.pod.spec.nodeName === undefined) await bindPod(run);
  await report(run, waiting("ContainerCreating"));
  let ip = await world.takeIp();
  const { image = "" } = main(run);
  if (isImage(image, "no-such-image")) return await failToPull(run, image, ip);
  for (let failures = 0; !over.signal.aborted; ) {
    const command = await configured(run, ip);
    if (command === undefined) return;
    const ended = await runContainer(run, command, ip);
    if (over.signal.aborted) return;
    if (run.moveTo !== undefined) {
      ip = run.moveTo;
      run.moveTo = undefined;
    } else {
      failures += 1;
      if (!(await restarts(run, ended, failures))) return;
    }
    run.observed = { ...run.observed, restarts: run.observed.restarts + 1, lastState: { terminated: ended } };
  }
}

/** What the agent itself cannot do is seen in the pod. */
async function giveUp(run: PodRun, error: unknown): Promise<void> {
  await report(run, waiting("RunContainerError", String(error))).catch(() => undefined);
}

const waiting = (reason: string, message?: string): { readonly state: ContainerState } => ({
  state: { waiting: message === undefined ? { reason } : { reason, message } },
});

/** Two reports, as a kubelet makes them: that it failed, and that it will try again. Then nothing until the pod goes. */
async function failToPull(run: PodRun, image: string, ip: string): Promise<void> {
  const cause = `failed to pull and unpack image "${image}": failed to resolve reference "${image}": ${image}: not found`;
  await report(run, { ...waiting("ErrImagePull", `rpc error: code = NotFound desc = ${cause}`), ip });
  await pause(run, retryMs);
  const message = `Back-off pulling image "${image}": ErrImagePull: rpc error: code = NotFound desc = ${cause}`;
  if (!run.over.signal.aborted) await report(run, waiting("ImagePullBackOff", message));
}

/** Waits, as a kubelet does, until all that the environment names is there. */
async function configured(run: PodRun, ip: string): Promise<ContainerCommand | undefined> {
  let reported = "";
  while (!run.over.signal.aborted) {
    try {
      return await containerCommand(run.world.admin, run.pod, main(run), ip);
    } catch (error) {
      if (error instanceof MissingConfig && error.message !== reported) {
        await report(run, { ...waiting("CreateContainerConfigError", error.message), ip });
        reported = error.message;
      }
    }
    await pause(run, retryMs);
  }
  return undefined;
}

async function runContainer(run: PodRun, command: ContainerCommand, ip: string): Promise<Terminated> {
  const container = main(run);
  const { tools, javaArguments, folder } = run.world;
  const files = containerFiles(folder, run.uid, run.observed.restarts);
  run.previousLogFile = run.logFile;
  run.logFile = files.logFile;
  const process = await startPodProcess({ tools, javaArguments, ...files, uid: run.uid, ip, container, command });
  run.process = process;
  if (run.over.signal.aborted) await process.end(0);
  const probed = container.readinessProbe;
  const state = { running: { startedAt: new Date().toISOString() } };
  await report(run, { phase: "Running", state, ready: probed === undefined, ip });
  const over = new AbortController();
  const port = probedPort(probed) ?? process.port ?? 15_002;
  const probing = probed === undefined ? undefined : reportReady(run, { host: ip, port }, over.signal);
  const ended = await process.ended;
  over.abort();
  await probing;
  run.process = undefined;
  return ended;
}

async function reportReady(
  run: PodRun,
  { host, port }: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted && !(await firstCall.accepts({ host, port }, 1_000))) await delay(probeMs);
  if (!signal.aborted && !run.over.signal.aborted) await report(run, { ready: true });
}

/** Reports the container's end. @returns whether it is to be started again, after the wait before that */
async function restarts(run: PodRun, ended: Terminated, failures: number): Promise<boolean> {
  const policy = run.pod.spec.restartPolicy ?? "Always";
  const terminated = { ...ended, finishedAt: new Date().toISOString() };
  const again = policy === "Always" || (policy === "OnFailure" && ended.exitCode !== 0);
  if (!again) {
    const phase = ended.exitCode === 0 ? "Succeeded" : "Failed";
    await report(run, { phase, state: { terminated }, ready: false });
    return false;
  }
  await report(run, { state: { terminated }, ready: false });
  // The first restart comes at once, as a kubelet's does.
  if (failures === 1) return true;
  const wait = Math.min(run.world.crashBackoffMs * 2 ** (failures - 2), 300_000);
  const { name, namespace, uid } = run.pod.metadata;
  const message = `back-off ${wait / 1000}s restarting failed container=${main(run).name} pod=${name}_${namespace}(${uid})`;
  await report(run, { ...waiting("CrashLoopBackOff", message), lastState: { terminated } });
  await pause(run, wait);
  return true;
}

/** Ends early when the pod has to end. */
async function pause(run: PodRun, ms: number): Promise<void> {
  await delay(ms, undefined, { signal: run.over.signal }).catch(() => undefined);
}
