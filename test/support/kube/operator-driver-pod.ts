import type { ObjectMeta, OwnerReference } from "../../../src/edges/kubernetes/objects.ts";
import { type Collection, type KubeAdmin, pods } from "./access.ts";
import type { AgentContainer } from "./kubelet-types.ts";
import { createOnce } from "./operator-loop.ts";

type Texts = Readonly<Record<string, string>>;

export interface PodTemplate {
  readonly metadata?: { readonly labels?: Texts; readonly annotations?: Texts };
  readonly spec?: {
    readonly containers?: readonly AgentContainer[];
    readonly volumes?: readonly object[];
    readonly [key: string]: unknown;
  };
}

export interface DriverPodInput {
  readonly name: string;
  readonly namespace: string;
  /** Spark's `spark.app.id`, by which its resources are named. */
  readonly appId: string;
  readonly owner: OwnerReference;
  /** All settings, as spark-submit would have them. */
  readonly conf: Texts;
  readonly template: PodTemplate;
  readonly sparkVersion: string;
  readonly mainClass: string;
  readonly resource: string;
  readonly arguments: readonly string[];
}

export const driverContainerName = "spark-kubernetes-driver";
const configMaps: Collection = { apiVersion: "v1", plural: "configmaps" };
const confFolder = "/opt/spark/conf";

/**
 * A test stand-in for how Spark 4.1 itself makes the driver's pod in cluster mode (`KubernetesDriverBuilder`), which
 * kubeflow's operator uses through spark-submit and Apache's as a library: the template, what the settings say laid
 * over it, and all settings in a ConfigMap that the pod owns. Of Spark's services and secrets there are none.
 * @throws ApiError where the API server refuses the pod
 */
export async function createDriverPod(admin: KubeAdmin, input: DriverPodInput): Promise<void> {
  const { name, namespace, appId, conf } = input;
  const made = await admin.create(pods, driverPod(input));
  const { uid } = made.metadata;
  const properties = Object.entries(conf).map(([key, value]) => `${key}=${value.replaceAll("\\", "\\\\")}\n`);
  await createOnce(admin, configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: confMapOf(appId),
      namespace,
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name, uid, controller: true }],
    },
    data: { "spark.properties": properties.join("") },
  } as Parameters<KubeAdmin["create"]>[1]);
}

const confMapOf = (appId: string): string => `${appId}-drv-conf-map`;

function driverPod({ name, namespace, appId, owner, conf, template, sparkVersion, ...main }: DriverPodInput) {
  const { metadata, spec = {} } = template;
  const labels = prefixed(conf, "spark.kubernetes.driver.label.");
  const annotations = prefixed(conf, "spark.kubernetes.driver.annotation.");
  const account = conf["spark.kubernetes.authenticate.driver.serviceAccountName"];
  const sparkLabels = { "spark-app-selector": appId, "spark-role": "driver", "spark-version": sparkVersion };
  const made: ObjectMeta = {
    name,
    namespace,
    labels: { ...metadata?.labels, ...labels, ...sparkLabels },
    annotations: { ...metadata?.annotations, ...annotations },
    ownerReferences: [owner],
  };
  const containers = spec.containers ?? [];
  const at = Math.max(
    0,
    containers.findIndex((container) => container.name === driverContainerName),
  );
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: made,
    spec: {
      ...spec,
      restartPolicy: "Never",
      ...(account === undefined ? {} : { serviceAccountName: account }),
      containers: containers.toSpliced(at, 1, driverContainer(containers[at], conf, main)),
      volumes: [
        ...(spec.volumes ?? []),
        { name: "spark-local-dir-1", emptyDir: {} },
        { name: "spark-conf-volume-driver", configMap: { name: confMapOf(appId) } },
      ],
    },
  };
}

type Main = Pick<DriverPodInput, "mainClass" | "resource" | "arguments">;

function driverContainer(template: AgentContainer | undefined, conf: Texts, main: Main): AgentContainer {
  const image = conf["spark.kubernetes.driver.container.image"] ?? conf["spark.kubernetes.container.image"] ?? "";
  const env = prefixed(conf, "spark.kubernetes.driverEnv.");
  const cpu = conf["spark.kubernetes.driver.request.cores"] ?? conf["spark.driver.cores"] ?? "1";
  const limit = conf["spark.kubernetes.driver.limit.cores"];
  const memory = `${mebibytes(conf)}Mi`;
  const port = (name: string, containerPort: number) => ({ name, containerPort, protocol: "TCP" });
  const more = {
    imagePullPolicy: conf["spark.kubernetes.container.image.pullPolicy"] ?? "IfNotPresent",
    ports: [port("driver-rpc-port", 7078), port("blockmanager", 7079), port("spark-connect", 15_002)],
    volumeMounts: [
      { name: "spark-local-dir-1", mountPath: "/var/data/spark-local" },
      { name: "spark-conf-volume-driver", mountPath: confFolder },
    ],
  };
  return {
    ...template,
    ...more,
    name: template?.name ?? driverContainerName,
    image,
    args: [
      "driver",
      "--properties-file",
      `${confFolder}/spark.properties`,
      "--class",
      main.mainClass,
      main.resource,
      ...main.arguments,
    ],
    env: [
      ...(template?.env ?? []),
      ...Object.entries(env).map(([name, value]) => ({ name, value })),
      { name: "SPARK_USER", value: "spark" },
      { name: "SPARK_DRIVER_BIND_ADDRESS", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "SPARK_LOCAL_DIRS", value: "/var/data/spark-local" },
      { name: "SPARK_CONF_DIR", value: confFolder },
    ],
    resources: {
      requests: { cpu, memory },
      limits: { memory, ...(limit === undefined ? {} : { cpu: limit }) },
    },
  };
}

/** Settings whose names have that start, without it. */
function prefixed(conf: Texts, prefix: string): Texts {
  const found = Object.entries(conf).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(found.map(([name, value]) => [name.slice(prefix.length), value]));
}

/** Heap and overhead: Spark's rule is 10 %, at least 384 MiB. */
function mebibytes(conf: Texts): number {
  const heap = size(conf["spark.driver.memory"] ?? "1g");
  const overhead = conf["spark.driver.memoryOverhead"];
  return heap + (overhead === undefined ? Math.max(384, Math.floor(heap * 0.1)) : size(overhead));
}

/** MiB of a size in Spark's notation; a number alone is MiB. */
function size(text: string): number {
  const [, number = "0", unit = "m"] = /^(\d+)([kmgt]?)b?$/i.exec(text.trim()) ?? [];
  const factor: Readonly<Record<string, number>> = { k: 1 / 1024, m: 1, g: 1024, t: 1024 * 1024 };
  return Math.ceil(Number(number) * (factor[unit.toLowerCase()] ?? 1));
}
