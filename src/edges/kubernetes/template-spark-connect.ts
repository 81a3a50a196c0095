import { kinds } from "./kinds.ts";
import type { DriverResource } from "./objects.ts";
import { commonConf, driverNeeds, withoutKeys } from "./spark-conf.ts";
import type { TemplateInput } from "./template-input.ts";
import { mainMetadata } from "./template-metadata.ts";
import { driverTemplate, executorTemplate, operatorContainer, tokenEnvironment } from "./template-parts.ts";

/** What the operator says to Spark itself. */
const fields = [
  "spark.driver.cores",
  "spark.driver.memory",
  "spark.executor.instances",
  "spark.executor.cores",
  "spark.executor.memory",
  // The operator names executors after the object.
  "spark.kubernetes.executor.podNamePrefix",
];

/**
 * kubeflow's SparkConnect, as its operator 2.5.2 has it (v1alpha1). It runs Spark's start-connect-server.sh in the server's
 * pod; up to 2.5.2 through a shell without quoting, so settings with blanks need a later one. Labels of this object go to
 * the executors too: tell them from the server by `spark-role`.
 */
export function sparkConnectResource(input: TemplateInput): DriverResource {
  const { profile } = input;
  const conf = commonConf(input);
  const resources = driverNeeds(conf);
  const probe = { tcpSocket: { port: input.port }, periodSeconds: 2, timeoutSeconds: 1 };
  const container = operatorContainer(input, {
    env: tokenEnvironment(input),
    resources: { requests: resources, limits: resources },
    // The operator's own look every 10 s. Ours gives up after an hour: how long a start may take is decided elsewhere.
    startupProbe: { ...probe, failureThreshold: 1800 },
  });
  return {
    apiVersion: kinds["spark-connect"].apiVersion,
    kind: kinds["spark-connect"].kind,
    metadata: mainMetadata(input),
    spec: {
      sparkVersion: profile.sparkVersion,
      image: profile.image,
      sparkConf: withoutKeys(conf, fields),
      server: {
        cores: Number(conf["spark.driver.cores"]),
        memory: conf["spark.driver.memory"],
        template: driverTemplate(input, container),
      },
      executor: {
        instances: Number(conf["spark.executor.instances"]),
        cores: Number(conf["spark.executor.cores"]),
        memory: conf["spark.executor.memory"],
        template: executorTemplate(input),
      },
    },
  };
}
