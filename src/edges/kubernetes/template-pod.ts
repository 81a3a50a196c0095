import { kinds } from "./kinds.ts";
import { annotation } from "./labels.ts";
import type { DriverResource } from "./objects.ts";
import { commonConf, driverNeeds, driverPorts, podMakingConf, type SparkConf, wantsExecutors } from "./spark-conf.ts";
import type { TemplateInput } from "./template-input.ts";
import { mainMetadata } from "./template-metadata.ts";
import {
  connectServer,
  containerSecurity,
  executorTemplate,
  placement,
  readiness,
  tokenEnvironment,
} from "./template-parts.ts";

const templateFolder = "/etc/gatehouse";
const templateFile = "executor-pod.json";
const localFolder = "/var/data/spark";

/**
 * A plain pod in which spark-submit runs the Connect server in client mode: with executors as pods that Spark makes, or, where
 * the profile wants none, with tasks in the driver itself.
 */
export function podResource(input: TemplateInput): DriverResource {
  const { profile } = input;
  const executors = wantsExecutors(profile);
  const metadata = mainMetadata(input, profile.driver);
  return {
    apiVersion: kinds.pod.apiVersion,
    kind: kinds.pod.kind,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, "spark-role": "driver" },
      annotations: {
        ...metadata.annotations,
        ...(executors ? { [annotation.executorTemplate]: JSON.stringify(executorTemplate(input)) } : {}),
      },
    },
    spec: {
      restartPolicy: "Never",
      ...placement(profile, profile.driver),
      automountServiceAccountToken: executors,
      containers: [container(input, executors)],
      volumes: [{ name: "spark-local", emptyDir: {} }, ...(executors ? [templateVolume] : [])],
    },
  };
}

/** Spark reads the executors' template from a file; an annotation of the pod's own spares an object that must be cleaned up. */
const templateVolume = {
  name: "executor-template",
  downwardAPI: {
    items: [{ path: templateFile, fieldRef: { fieldPath: `metadata.annotations['${annotation.executorTemplate}']` } }],
  },
};

function container(input: TemplateInput, executors: boolean): Readonly<Record<string, unknown>> {
  const { profile, port } = input;
  const conf = podConf(input, executors);
  const master = executors ? "k8s://https://kubernetes.default.svc" : `local[${conf["spark.driver.cores"]}]`;
  const resources = driverNeeds(conf);
  return {
    name: "spark-driver",
    image: profile.image,
    ...(profile.imagePullPolicy === undefined ? {} : { imagePullPolicy: profile.imagePullPolicy }),
    command: ["/opt/spark/bin/spark-submit"],
    args: [
      "--master",
      master,
      "--deploy-mode",
      "client",
      ...confArguments(conf),
      "--class",
      connectServer,
      "spark-internal",
    ],
    env: [
      { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "SPARK_LOCAL_DIRS", value: localFolder },
      ...tokenEnvironment(input),
    ],
    ports: [{ name: "spark-connect", containerPort: port }],
    readinessProbe: readiness(port),
    resources: { requests: resources, limits: resources },
    securityContext: containerSecurity,
    volumeMounts: [
      { name: "spark-local", mountPath: localFolder },
      ...(executors ? [{ name: templateVolume.name, mountPath: templateFolder, readOnly: true }] : []),
    ],
  };
}

function confArguments(conf: SparkConf): readonly string[] {
  const sorted = Object.entries(conf).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.flatMap(([name, value]) => ["--conf", `${name}=${value}`]);
}

function podConf(input: TemplateInput, executors: boolean): SparkConf {
  const { name, facts } = input;
  const common = Object.entries({ "spark.app.name": name, ...commonConf(input) })
    .filter(([key]) => executors || (!key.startsWith("spark.executor.") && !key.startsWith("spark.kubernetes.")))
    .map(([key, value]) => [key, literal(value)]);
  return {
    ...(Object.fromEntries(common) as SparkConf),
    "spark.connect.grpc.binding.address": podAddress,
    "spark.driver.host": podAddress,
    "spark.driver.bindAddress": podAddress,
    ...(executors ? executorConf(input) : {}),
    ...(executors ? { "spark.kubernetes.driver.pod.name": name, "spark.kubernetes.namespace": facts.namespace } : {}),
  };
}

function executorConf({ profile }: TemplateInput): SparkConf {
  return {
    "spark.driver.port": String(driverPorts.rpc),
    "spark.driver.blockManager.port": String(driverPorts.blocks),
    ...podMakingConf(profile),
    "spark.kubernetes.executor.podTemplateFile": `${templateFolder}/${templateFile}`,
    "spark.kubernetes.executor.podTemplateContainerName": "spark-kubernetes-executor",
  };
}

/** kubelet puts the variable's value here. */
const podAddress = "$(POD_IP)";

/** kubelet reads `$(NAME)` in arguments as a variable, and `$$` as a dollar sign. */
const literal = (value: string): string => value.replaceAll("$", "$$$$");
