import type { DriverKind } from "../../../src/edges/kubernetes/kinds.ts";

type Schema = Readonly<Record<string, unknown>>;

const text = { type: "string" };
const texts = { type: "object", additionalProperties: text };
const textList = { type: "array", items: text };
const flag = { type: "boolean" };
const integer = { type: "integer" };
const atLeast = (minimum: number) => ({ type: "integer", format: "int32", minimum });
const oneOf = (...values: readonly string[]) => ({ type: "string", enum: values });
const anything = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
const list = { type: "array", items: anything };

/** An object with these fields: the API server drops all others, as it does with the operators' own schemas. */
const object = (properties: Readonly<Record<string, Schema>>, required?: string): Schema => ({
  type: "object",
  properties,
  ...(required === undefined ? {} : { required: required.split(" ") }),
});

/** Fields of that schema, of which we say no more than their names. */
const named = (schema: Schema, names: string): Readonly<Record<string, Schema>> =>
  Object.fromEntries(names.split(" ").map((name) => [name, schema]));

const restart = (type: string) =>
  object({
    [type]: oneOf("Never", "Always", "OnFailure"),
    ...named(integer, "onFailureRetries onFailureRetryInterval"),
    ...named(integer, "onSubmissionFailureRetries onSubmissionFailureRetryInterval"),
  });

const sparkApplicationPod = {
  cores: atLeast(1),
  ...named(text, "coreLimit coreRequest memory memoryOverhead image serviceAccount schedulerName runtimeClassName"),
  ...named(text, "javaOptions priorityClassName"),
  ...named(texts, "labels annotations nodeSelector envVars"),
  ...named(flag, "hostNetwork shareProcessNamespace"),
  ...named(anything, "template gpu affinity podSecurityContext securityContext dnsConfig lifecycle envSecretKeyRefs"),
  ...named(list, "configMaps secrets env envFrom volumeMounts tolerations sidecars initContainers hostAliases ports"),
  terminationGracePeriodSeconds: integer,
};

const sparkConnectPod = { cores: atLeast(1), memory: text, template: anything };

/**
 * The operators' schemas, as far as our tests need them: every name on the way to what Gatehouse writes and reads, so
 * that a field that an operator does not know is dropped here too; below that, anything. From kubeflow spark-operator
 * (v1beta2, v1alpha1) and apache/spark-kubernetes-operator (v1).
 */
export const crdSchemas: Readonly<
  Record<Exclude<DriverKind, "pod">, { readonly spec: Schema; readonly status: Schema }>
> = {
  "spark-application": {
    spec: object(
      {
        type: oneOf("Java", "Python", "Scala", "R"),
        mode: oneOf("cluster", "client"),
        pythonVersion: oneOf("2", "3"),
        ...named(text, "sparkVersion proxyUser image imagePullPolicy mainClass mainApplicationFile sparkConfigMap"),
        ...named(text, "hadoopConfigMap memoryOverheadFactor batchScheduler managedBy"),
        ...named(textList, "imagePullSecrets arguments"),
        ...named(texts, "sparkConf hadoopConf nodeSelector"),
        ...named(integer, "failureRetries retryInterval timeToLiveSeconds"),
        ...named(list, "volumes driverIngressOptions"),
        ...named(anything, "deps monitoring batchSchedulerOptions sparkUIOptions dynamicAllocation"),
        suspend: flag,
        restartPolicy: restart("type"),
        driver: object({
          ...sparkApplicationPod,
          ...named(text, "podName kubernetesMaster"),
          ...named(texts, "serviceAnnotations serviceLabels"),
        }),
        executor: object({ ...sparkApplicationPod, instances: atLeast(1), deleteOnTermination: flag }),
      },
      "driver executor mainApplicationFile sparkVersion type",
    ),
    status: object(
      {
        applicationState: object({ state: text, errorMessage: text }, "state"),
        driverInfo: object({
          ...named(text, "podName webUIAddress webUIServiceName webUIIngressName webUIIngressAddress"),
          webUIPort: integer,
        }),
        executorState: texts,
        ...named(text, "sparkApplicationId submissionID lastSubmissionAttemptTime terminationTime"),
        ...named(integer, "executionAttempts submissionAttempts"),
      },
      "driverInfo",
    ),
  },
  "spark-connect": {
    spec: object(
      {
        ...named(text, "sparkVersion image"),
        ...named(texts, "sparkConf hadoopConf"),
        dynamicAllocation: anything,
        restartPolicy: restart("restartPolicyType"),
        server: object({ ...sparkConnectPod, service: anything }),
        executor: object({ ...sparkConnectPod, instances: atLeast(0) }),
      },
      "executor server sparkVersion",
    ),
    status: object({
      state: text,
      server: object(named(text, "podName podIp serviceName")),
      conditions: list,
      executors: { type: "object", additionalProperties: integer },
      ...named(text, "startTime lastUpdateTime lastRestartTime"),
      ...named(integer, "restartAttempts observedGeneration"),
    }),
  },
  "apache-spark-application": {
    spec: object(
      {
        ...named(text, "mainClass jars pyFiles sparkRFiles files proxyUser"),
        deploymentMode: oneOf("ClientMode", "ClusterMode"),
        driverArgs: textList,
        sparkConf: texts,
        runtimeVersions: object(named(text, "sparkVersion scalaVersion jdkVersion"), "sparkVersion"),
        applicationTolerations: object({
          ...named(anything, "applicationTimeoutConfig instanceConfig restartConfig"),
          resourceRetainPolicy: oneOf("Always", "Never", "OnFailure"),
          ...named(integer, "resourceRetainDurationMillis ttlAfterStopMillis"),
        }),
        driverSpec: object({ podTemplateSpec: anything }),
        executorSpec: object({ podTemplateSpec: anything }),
        ...named(list, "driverServiceIngressList configMapSpecs"),
      },
      "runtimeVersions",
    ),
    status: object({
      currentState: object({
        ...named(text, "currentStateSummary message lastTransitionTime"),
        lastObservedDriverStatus: anything,
      }),
      ...named(anything, "currentAttemptSummary previousAttemptSummary stateTransitionHistory"),
    }),
  },
};
