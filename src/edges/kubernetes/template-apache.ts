import { kinds } from "./kinds.ts";
import type { DriverResource } from "./objects.ts";
import { clusterConf, podMakingConf } from "./spark-conf.ts";
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
 * Apache's SparkApplication, as spark-kubernetes-operator 1.0.0 has it (v1). The operator builds the driver's pod itself, so
 * the Connect server may be the main class. It never restarts a driver and keeps nothing of one that ended: Gatehouse
 * deletes the object.
 */
export function apacheResource(input: TemplateInput): DriverResource {
  const { profile } = input;
  const { driver } = profile;
  return {
    apiVersion: kinds["apache-spark-application"].apiVersion,
    kind: kinds["apache-spark-application"].kind,
    metadata: mainMetadata(input),
    spec: {
      deploymentMode: "ClusterMode",
      mainClass: connectServer,
      runtimeVersions: { sparkVersion: profile.sparkVersion },
      sparkConf: {
        ...clusterConf(input),
        ...podMakingConf(profile),
        ...(driver.serviceAccount === undefined
          ? {}
          : { "spark.kubernetes.authenticate.driver.serviceAccountName": driver.serviceAccount }),
      },
      driverSpec: {
        podTemplateSpec: driverTemplate(input, operatorContainer(input, { env: tokenEnvironment(input) })),
      },
      executorSpec: { podTemplateSpec: executorTemplate(input) },
      applicationTolerations: {
        resourceRetainPolicy: "Never",
        restartConfig: { restartPolicy: "Never" },
      },
    },
  };
}
