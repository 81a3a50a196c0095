import { type DriverKind, kinds } from "../../../src/edges/kubernetes/kinds.ts";
import type { DriverResource, KubeObject, Pod, Secret, Stored } from "../../../src/edges/kubernetes/objects.ts";
import { podOf } from "../../../src/edges/kubernetes/pod-of.ts";
import { until } from "../until.ts";
import { type Collection, pods } from "./access.ts";
import type { KubeWorld } from "./world.ts";

export const secrets: Collection = { apiVersion: "v1", plural: "secrets" };
const leftBehind: readonly Collection[] = [
  pods,
  secrets,
  { apiVersion: "v1", plural: "configmaps" },
  { apiVersion: "v1", plural: "services" },
];

/** All that Kubernetes has of one driver that Gatehouse started. */
interface DriverParts {
  readonly main: Stored<DriverResource>;
  readonly pod: Stored<Pod>;
  readonly secret: Stored<Secret>;
  readonly token: string;
}

/** The parts of the only driver in that namespace. @throws Error where there are more or fewer */
export async function driverParts(world: KubeWorld, kind: DriverKind, namespace: string): Promise<DriverParts> {
  const { admin } = world.cluster;
  const main = only(await admin.list<DriverResource>(kinds[kind], namespace), `${kind} in ${namespace}`);
  const secret = only(await admin.list<Secret>(secrets, namespace), `Secret in ${namespace}`);
  const there = await admin.list<Pod>(pods, namespace);
  const pod = podOf(kind, main, there);
  if (pod === undefined || there.length !== 1) throw new Error(`${there.length} pods in ${namespace}`);
  const token = Buffer.from(secret.data?.["token"] ?? "", "base64").toString("utf8");
  return { main, pod, secret, token };
}

function only<T>(found: readonly T[], what: string): T {
  const [one] = found;
  if (one === undefined || found.length !== 1) throw new Error(`${found.length} times: ${what}`);
  return one;
}

/** What the container of that pod has logged. */
export async function podLog({ cluster }: KubeWorld, { metadata }: Stored<Pod>): Promise<string> {
  const { code, stdout, stderr } = await cluster.kubectl(["logs", "-n", metadata.namespace ?? "", metadata.name]);
  if (code !== 0) throw new Error(`kubectl logs: ${stderr}`);
  return stdout;
}

/** What is left in that namespace of drivers, and of what operators made for them: `plural/name` each. */
async function leftIn(world: KubeWorld, kind: DriverKind, namespace: string): Promise<readonly string[]> {
  const all = [...new Set([kinds[kind], ...leftBehind])].map(async (of) =>
    (await world.cluster.admin.list<KubeObject>(of, namespace)).map(({ metadata }) => `${of.plural}/${metadata.name}`),
  );
  const running = world.agent.running().filter((one) => one.namespace === namespace);
  const objects = (await Promise.all(all)).flat();
  const own = new Set(["configmaps/kube-root-ca.crt"]);
  return [...new Set(objects)].filter((one) => !own.has(one)).concat(running.map(({ pid }) => `process ${pid}`));
}

export async function nothingLeft(world: KubeWorld, kind: DriverKind, namespace: string): Promise<void> {
  let left: readonly string[] = [];
  const isEmpty = async () => {
    left = await leftIn(world, kind, namespace);
    return left.length === 0;
  };
  await until(isEmpty, { deadlineMs: 60_000, what: `nothing is left in ${namespace}` }).catch((error: unknown) => {
    throw new Error(`still in ${namespace}: ${left.join(", ")}`, { cause: error });
  });
}
