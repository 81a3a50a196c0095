import { type Collection, pods } from "./access.ts";
import type { AgentContainer, AgentPod } from "./kubelet-types.ts";
import { driverContainerName, type PodTemplate } from "./operator-driver-pod.ts";
import { type Custom, controllerReference, createOnce, type OperatorWorld, writeStatus } from "./operator-loop.ts";

type Texts = Readonly<Record<string, string>>;

interface Spec {
  readonly image?: string;
  readonly sparkVersion: string;
  readonly sparkConf?: Texts;
  readonly server: { readonly cores?: number; readonly memory?: string; readonly template?: PodTemplate };
  readonly executor: {
    readonly instances?: number;
    readonly cores?: number;
    readonly memory?: string;
    readonly template?: PodTemplate;
  };
}

interface Status {
  readonly state?: string;
  readonly startTime?: string;
  readonly server?: { readonly podName?: string; readonly podIp?: string };
  readonly conditions?: readonly { readonly status: string; readonly lastTransitionTime: string }[];
}

type Connect = Custom<Spec, Status>;

const configMaps: Collection = { apiVersion: "v1", plural: "configmaps" };
const services: Collection = { apiVersion: "v1", plural: "services" };
const prefix = "sparkoperator.k8s.io/";

/**
 * A test stand-in that does what the documented reconcile of kubeflow's spark-operator 2.5.2 does with a SparkConnect
 * (v1alpha1): ConfigMap, server pod and Service are there again whenever they are missing, and the status says whether the
 * pod is Ready. As with the real one, a pod that cannot be made leaves no trace in the status: it is tried again, and an
 * ended pod stays as it is (NotReady). No dynamic allocation, no executors' counts.
 */
export async function reconcileSparkConnect(world: OperatorWorld, object: Custom, pod?: AgentPod): Promise<void> {
  const connect = object as Connect;
  const { name, namespace, deletionTimestamp } = connect.metadata;
  if (deletionTimestamp !== undefined) return;
  const { admin } = world;
  const metadata = {
    namespace,
    labels: { [`${prefix}created-by-spark-operator`]: "true", [`${prefix}connect-name`]: name },
    ownerReferences: [controllerReference(world, connect)],
  };
  const template = JSON.stringify(connect.spec.executor.template ?? {});
  const configMap = {
    metadata: { ...metadata, name: `${name}-conf` },
    data: { "executor-pod-template.yaml": template },
  };
  await createOnce(admin, configMaps, { apiVersion: "v1", kind: "ConfigMap", ...configMap });
  if (pod === undefined) {
    const planned = world.takeFailure();
    if (planned !== undefined) throw new Error(planned);
    await createOnce(admin, pods, serverPod(world, connect));
  }
  const ports = [{ name: "spark-connect-server", port: 15_002, targetPort: 15_002, appProtocol: "grpc" }];
  const service = { metadata: { ...metadata, name: `${name}-server` }, spec: { ports, selector: selector(connect) } };
  await createOnce(admin, services, { apiVersion: "v1", kind: "Service", ...service });
  await reportServer(world, connect, pod);
}

async function reportServer(world: OperatorWorld, connect: Connect, pod: AgentPod | undefined): Promise<void> {
  const { status: before = {}, metadata } = connect;
  const ready = pod?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
  const state = ready ? "Ready" : "NotReady";
  const podIp = pod?.status?.podIP ?? "";
  const podName = `${metadata.name}-server`;
  if (before.state === state && before.server?.podIp === podIp) return;
  const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const [last] = before.conditions ?? [];
  const status = ready ? "True" : "False";
  const condition = {
    type: "ServerPodReady",
    status,
    reason: ready ? "ServerPodReady" : "ServerPodNotReady",
    message: ready ? "Server pod is ready" : `Server pod is not ready: ${pod?.status?.message ?? ""}`,
    lastTransitionTime: last?.status === status ? last.lastTransitionTime : now,
  };
  await writeStatus(world, connect, {
    state,
    startTime: before.startTime ?? now,
    lastUpdateTime: now,
    server: { podName, podIp, serviceName: podName },
    conditions: [condition],
  });
}

const selector = ({ metadata, spec }: Connect): Texts => ({
  [`${prefix}launched-by-spark-operator`]: "true",
  [`${prefix}connect-name`]: metadata.name,
  "spark-role": "connect-server",
  "spark-version": spec.sparkVersion,
});

function serverPod(world: OperatorWorld, connect: Connect) {
  const { metadata, spec } = connect;
  const { template } = spec.server;
  const containers = template?.spec?.containers ?? [{ name: driverContainerName }];
  const at = Math.max(
    0,
    containers.findIndex(({ name }) => name === driverContainerName),
  );
  const given = containers[at] ?? { name: driverContainerName };
  const probe = { tcpSocket: { port: 15_002 }, periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3 };
  const container: AgentContainer = {
    readinessProbe: probe,
    ...given,
    image: given.image ?? spec.image ?? "",
    command: ["bash", "-c"],
    args: [["${SPARK_HOME}/sbin/start-connect-server.sh", ...startArguments(connect)].join(" ")],
    env: [
      ...(given.env ?? []),
      { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "SPARK_NO_DAEMONIZE", value: "true" },
    ],
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `${metadata.name}-server`,
      namespace: metadata.namespace,
      labels: { ...template?.metadata?.labels, ...selector(connect) },
      annotations: { ...template?.metadata?.annotations },
      ownerReferences: [controllerReference(world, connect)],
    },
    spec: { ...template?.spec, containers: containers.toSpliced(at, 1, container) },
  };
}

/** For a shell, without any quoting: so it is in 2.5.2. */
function startArguments({ metadata, spec }: Connect): readonly string[] {
  const { server, executor, sparkConf = {}, image = "" } = spec;
  const host =
    '$(host=${POD_IP}; if [[ $host == *:* ]] && [[ $host != \\[* ]]; then echo "[$host]"; else echo "$host"; fi)';
  const conf: Readonly<Record<string, string | number | undefined>> = {
    "spark.kubernetes.namespace": metadata.namespace,
    "spark.kubernetes.container.image": image,
    ...sparkConf,
    "spark.driver.cores": server.cores,
    "spark.driver.memory": server.memory,
    "spark.driver.bindAddress": "0.0.0.0",
    "spark.driver.host": host,
    "spark.driver.port": 7078,
    "spark.driver.blockManager.port": 7079,
    "spark.kubernetes.driver.pod.name": `${metadata.name}-server`,
    "spark.executor.instances": executor.instances,
    "spark.executor.cores": executor.cores,
    "spark.executor.memory": executor.memory,
    "spark.kubernetes.executor.podNamePrefix": metadata.name,
  };
  const set = Object.entries(conf).filter(([, value]) => value !== undefined);
  return [
    "--master",
    "k8s://https://kubernetes.default.svc:443",
    ...set.flatMap(([key, value]) => ["--conf", `${key}=${value}`]),
  ];
}
