import { kinds } from "./kinds.ts";
import type { DriverResource } from "./objects.ts";
import { clusterConf, type SparkConf, withoutKeys } from "./spark-conf.ts";
import type { TemplateInput } from "./template-input.ts";
import { mainMetadata } from "./template-metadata.ts";
import {
  connectServer,
  driverTemplate,
  executorTemplate,
  operatorContainer,
  tokenEnvironment,
} from "./template-parts.ts";

/**
 * kubeflow's SparkApplication, as its operator 2.5.2 has it (v1beta2). Both pods come from templates, so no webhook is
 * needed. Labels of this object go to the driver and to the executors alike: tell them apart by Spark's `spark-role`.
 *
 * spark-submit refuses the Connect server as the main class of cluster mode, so the driver's pod runs spark-submit once
 * more, in client mode and in the same JVM, with the settings that Spark has put into the pod.
 */
export function sparkApplicationResource(input: TemplateInput): DriverResource {
  const { profile } = input;
  const conf = clusterConf(input);
  const driver = driverTemplate(input, operatorContainer(input, { env: tokenEnvironment(input) }));
  return {
    apiVersion: kinds["spark-application"].apiVersion,
    kind: kinds["spark-application"].kind,
    metadata: mainMetadata(input),
    spec: {
      type: "Scala",
      mode: "cluster",
      sparkVersion: profile.sparkVersion,
      image: profile.image,
      ...(profile.imagePullPolicy === undefined ? {} : { imagePullPolicy: profile.imagePullPolicy }),
      imagePullSecrets: profile.imagePullSecrets,
      mainClass: "org.apache.spark.deploy.SparkSubmit",
      mainApplicationFile: "spark-internal",
      arguments: [
        "--properties-file",
        "/opt/spark/conf/spark.properties",
        "--deploy-mode",
        "client",
        "--class",
        connectServer,
        "spark-internal",
      ],
      restartPolicy: { type: "Never" },
      sparkConf: withoutKeys(conf, [...saidByFields(conf, fields.driver), ...saidByFields(conf, fields.executor)]),
      driver: { ...sized(conf, fields.driver), ...account(profile.driver), template: driver },
      executor: { ...sized(conf, fields.executor), ...account(profile.executor), template: executorTemplate(input) },
    },
  };
}

/** What the operator has keys of its own for: it reads quotas from them. */
const fields = {
  driver: {
    cores: "spark.driver.cores",
    coreLimit: "spark.kubernetes.driver.limit.cores",
    memory: "spark.driver.memory",
    memoryOverhead: "spark.driver.memoryOverhead",
  },
  executor: {
    instances: "spark.executor.instances",
    cores: "spark.executor.cores",
    memory: "spark.executor.memory",
    memoryOverhead: "spark.executor.memoryOverhead",
  },
} as const;

/** The schema refuses no executors at all, with which dynamic allocation may begin: that stays a setting. */
const isField = (field: string, value: string): boolean => field !== "instances" || Number(value) > 0;

function saidByFields(conf: SparkConf, names: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(names).flatMap(([field, name]) => (isField(field, conf[name] ?? "") ? [name] : []));
}

function sized(conf: SparkConf, names: Readonly<Record<string, string>>): object {
  return Object.fromEntries(
    Object.entries(names).flatMap(([field, name]) => {
      const value = conf[name];
      if (value === undefined || !isField(field, value)) return [];
      return [[field, field === "cores" || field === "instances" ? Number(value) : value]];
    }),
  );
}

const account = ({ serviceAccount }: { readonly serviceAccount: string | undefined }): object =>
  serviceAccount === undefined ? {} : { serviceAccount };
