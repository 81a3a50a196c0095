import { tokenKey } from "./labels.ts";
import type { KubernetesProfile, PodSettings } from "./options.ts";
import type { TemplateInput } from "./template-input.ts";
import { driverLabels, executorLabels, foreign } from "./template-metadata.ts";

export const connectServer = "org.apache.spark.sql.connect.service.SparkConnectServer";

/** The token comes from a Secret that is made after this object; until it is there, kubelet waits. */
export function tokenEnvironment({ facts: { tokenSecret } }: TemplateInput): readonly object[] {
  if (tokenSecret === undefined) return [];
  return [
    {
      name: "SPARK_CONNECT_AUTHENTICATE_TOKEN",
      valueFrom: { secretKeyRef: { name: tokenSecret, key: tokenKey } },
    },
  ];
}

export const readiness = (port: number): object => ({
  tcpSocket: { port },
  periodSeconds: 2,
  timeoutSeconds: 1,
  failureThreshold: 3,
});

/** What the "restricted" pod security standard asks for. */
export const containerSecurity = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };

/** The id is given as a number: kubelet cannot tell whether a user that an image gives by name is root. */
function podSecurity({ runAsUser }: KubernetesProfile): object {
  return {
    runAsNonRoot: true,
    // The group, so that it may write to its volumes.
    ...(runAsUser === undefined ? {} : { runAsUser, fsGroup: runAsUser }),
    seccompProfile: { type: "RuntimeDefault" },
  };
}

/** Where a role's pods run and as whom, as parts of a PodSpec. */
export function placement(profile: KubernetesProfile, settings: PodSettings): Readonly<Record<string, unknown>> {
  const { serviceAccount, nodeSelector, tolerations } = settings;
  const secrets = profile.imagePullSecrets.map((name) => ({ name }));
  return {
    ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
    ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
    ...(tolerations.length === 0 ? {} : { tolerations }),
    ...(secrets.length === 0 ? {} : { imagePullSecrets: secrets }),
    // Services of the namespace become variables otherwise, some of which Spark would read as its own.
    enableServiceLinks: false,
    securityContext: podSecurity(profile),
  };
}

/**
 * The driver's container for operators, by the name that they and Spark look for. It names no port: from Spark 4.1 on
 * Spark adds one named `spark-connect`, and two of one name are refused.
 */
export function operatorContainer({ profile, port }: TemplateInput, more: object): object {
  return {
    name: "spark-kubernetes-driver",
    ...(profile.imagePullPolicy === undefined ? {} : { imagePullPolicy: profile.imagePullPolicy }),
    readinessProbe: readiness(port),
    securityContext: containerSecurity,
    ...more,
  };
}

/** Template of the driver's pod for operators: Spark lays what it decides over it. */
export function driverTemplate(input: TemplateInput, container: object): object {
  const { profile } = input;
  return {
    metadata: {
      labels: { ...foreign(profile.driver.labels), ...driverLabels(input) },
      annotations: foreign(profile.driver.annotations),
    },
    spec: { ...placement(profile, profile.driver), containers: [container] },
  };
}

/** Template of the executors' pods: they have no use for the API, so they get no token for it. */
export function executorTemplate(input: TemplateInput): object {
  const { profile } = input;
  return {
    metadata: {
      labels: { ...foreign(profile.executor.labels), ...executorLabels(input) },
      annotations: foreign(profile.executor.annotations),
    },
    spec: {
      ...placement(profile, profile.executor),
      automountServiceAccountToken: false,
      containers: [{ name: "spark-kubernetes-executor", securityContext: containerSecurity }],
    },
  };
}
