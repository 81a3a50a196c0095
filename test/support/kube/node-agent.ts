import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { classArchiveArguments } from "../../../deploy/local/class-archive.ts";
import type { Tools } from "../../../deploy/local/tools.ts";
import { createAddressPool } from "../../../src/edges/local/address-pool.ts";
import { type KubeAdmin, pods } from "./access.ts";
import { type ContainerName, type LogEndpoint, startLogEndpoint } from "./kubelet-logs.ts";
import type { AgentPod } from "./kubelet-types.ts";
import { registerNode, removeNode } from "./node-agent-node.ts";
import { endPod, evictPod, movePod, type PodRun, type PodWorld, runPod, updatePod } from "./node-agent-pod.ts";
import { report } from "./node-agent-report.ts";
import { watchAll } from "./node-agent-watch.ts";
import { signalGroup } from "./pod-process.ts";

export interface NodeAgentOptions {
  readonly admin: KubeAdmin;
  readonly tools: Tools;
  /** Loopback range in CIDR notation for the pods. Default one at random that no local runtime's test uses. */
  readonly addressPool?: string;
  /** Default "node-1". */
  readonly name?: string;
  /** What a pod's nodeSelector may ask for. Default none. */
  readonly labels?: Readonly<Record<string, string>>;
  /** See PodWorld; default 10 s, a kubelet's. ms */
  readonly crashBackoffMs?: number;
}

/** A pod that has a process. */
export interface RunningPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly pid: number;
  readonly ip: string;
}

export interface NodeAgent {
  readonly name: string;
  /** Pods whose container runs at this moment. */
  running(): readonly RunningPod[];
  /** SIGKILL for a pod's process, without any grace; reported as the container's end. Resolves when it is gone. */
  kill(podUid: string): Promise<void>;
  /** Ends the pod as a node with too little memory does: phase Failed, reason Evicted. */
  evict(podUid: string): Promise<void>;
  /** Starts the pod's process anew at another address. @returns that address */
  changeIp(podUid: string, ip?: string): Promise<string>;
  /** What the readiness probe is to have found. */
  setReady(podUid: string, ready: boolean): Promise<void>;
  /** The next pod that starts gets that address, whoever had it before. */
  holdIp(ip: string): void;
  /** Ends every process, deletes the Node, removes all files. Pods stay as they were reported last. */
  stop(): Promise<void>;
}

/**
 * A test node agent: it stands in for scheduler and kubelet of the only node. A pod that runs Spark's Connect server gets a
 * real one, on a loopback address of its own; other containers get a process that waits. What the image's name says may
 * happen instead: `no-such-image`, `crash`, `oom`. Only Spark's container is run, or else a pod's first; the only volumes are
 * ConfigMaps with Spark's properties. There are no init containers and no resource limits.
 */
export async function startNodeAgent(options: NodeAgentOptions): Promise<NodeAgent> {
  const { admin, tools, name = "node-1", labels = {} } = options;
  const folder = await mkdtemp(join(tmpdir(), "gatehouse-node-"));
  const closed = new AbortController();
  const runs = new Map<string, PodRun>();
  const held: string[] = [];
  const pool = createAddressPool(options.addressPool ?? randomRange(), 15_002);
  const world: PodWorld = {
    admin,
    tools,
    javaArguments: await classArchiveArguments(tools, (line) => void process.stderr.write(`${line}\n`)),
    folder,
    nodeName: name,
    nodeLabels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", ...labels },
    crashBackoffMs: options.crashBackoffMs ?? 10_000,
    closed: closed.signal,
    takeIp: async () => held.shift() ?? (await pool.next(new Set([...runs.values()].flatMap(usedBy)))),
  };
  const endpoint = await startLogEndpoint(folder, (wanted) => findLog(runs, wanted));
  try {
    await registerNode(admin, { name, labels: world.nodeLabels, kubeletPort: endpoint.port });
  } catch (error) {
    await close(admin, name, endpoint, folder);
    throw error;
  }
  const watching = watchAll<AgentPod>(admin, pods, closed.signal, {
    onObject(pod) {
      const { uid } = pod.metadata;
      const run = runs.get(uid);
      const isOurs = pod.spec.nodeName === undefined || pod.spec.nodeName === name;
      if (run !== undefined) updatePod(run, pod);
      else if (isOurs) runs.set(uid, runPod(world, pod));
    },
    onGone(uid) {
      const run = runs.get(uid);
      if (run === undefined) return;
      void endPod(run, 0).then(() => runs.delete(uid));
    },
    known: () => runs.keys(),
  });
  const killAll = () => {
    for (const { process: one } of runs.values()) if (one !== undefined) signalGroup(one.pid);
  };
  process.once("exit", killAll);
  const find = (uid: string): PodRun => {
    const run = runs.get(uid);
    if (run === undefined) throw new Error(`no pod ${uid} on ${name}`);
    return run;
  };
  return {
    name,
    running: () => [...runs.values()].flatMap(runningPod),
    kill: async (uid) => await find(uid).process?.kill(),
    evict: async (uid) => await evictPod(find(uid)),
    async changeIp(uid, ip) {
      const to = ip ?? (await world.takeIp());
      await movePod(find(uid), to);
      return to;
    },
    setReady: async (uid, ready) => await report(find(uid), { ready }),
    holdIp: (ip) => void held.push(ip),
    async stop() {
      closed.abort();
      await watching;
      await Promise.all([...runs.values()].map(async (run) => await endPod(run, 0)));
      process.off("exit", killAll);
      await close(admin, name, endpoint, folder);
    },
  };
}

async function close(admin: KubeAdmin, name: string, endpoint: LogEndpoint, folder: string): Promise<void> {
  await removeNode(admin, name).catch(() => undefined);
  await endpoint.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** Below what tests of the local runtime use; see `../ports.ts`. */
function randomRange(): string {
  const byte = () => 1 + Math.floor(Math.random() * 250);
  return `127.${20 + (byte() % 50)}.${byte()}.0/24`;
}

const usedBy = ({ observed }: PodRun): readonly string[] => (observed.ip === undefined ? [] : [observed.ip]);

function runningPod({ uid, pod, process: one, observed }: PodRun): readonly RunningPod[] {
  if (one === undefined || observed.ip === undefined) return [];
  return [{ uid, namespace: pod.metadata.namespace, name: pod.metadata.name, pid: one.pid, ip: observed.ip }];
}

function findLog(
  runs: ReadonlyMap<string, PodRun>,
  { namespace, pod, container, previous }: ContainerName,
): { readonly file: string } | { readonly fault: string } {
  const run = [...runs.values()].find(
    ({ pod: { metadata } }) => metadata.namespace === namespace && metadata.name === pod,
  );
  const file = previous ? run?.previousLogFile : run?.logFile;
  if (file !== undefined) return { file };
  const reason = run?.observed.state.waiting?.reason ?? "not found";
  return previous
    ? { fault: `previous terminated container "${container}" in pod "${pod}" not found` }
    : { fault: `container "${container}" in pod "${pod}" is waiting to start: ${reason}` };
}
