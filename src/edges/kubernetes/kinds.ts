/** What a driver may be: a plain pod, or the resource of one of three operators. */
export type DriverKind = "pod" | "spark-application" | "spark-connect" | "apache-spark-application";

export interface KindSpec {
  readonly apiVersion: string;
  readonly kind: string;
  /** The collection's name in paths and in RBAC rules. */
  readonly plural: string;
  /** API group; "" for core. */
  readonly group: string;
}

/** Source: kubeflow spark-operator (v1beta2, v1alpha1), apache/spark-kubernetes-operator (v1). */
export const kinds: Readonly<Record<DriverKind, KindSpec>> = {
  pod: { apiVersion: "v1", kind: "Pod", plural: "pods", group: "" },
  "spark-application": {
    apiVersion: "sparkoperator.k8s.io/v1beta2",
    kind: "SparkApplication",
    plural: "sparkapplications",
    group: "sparkoperator.k8s.io",
  },
  "spark-connect": {
    apiVersion: "sparkoperator.k8s.io/v1alpha1",
    kind: "SparkConnect",
    plural: "sparkconnects",
    group: "sparkoperator.k8s.io",
  },
  "apache-spark-application": {
    apiVersion: "spark.apache.org/v1",
    kind: "SparkApplication",
    plural: "sparkapplications",
    group: "spark.apache.org",
  },
};

/** Path of a collection, in one namespace or (undefined) in all. */
export function collectionPath(spec: Pick<KindSpec, "apiVersion" | "plural">, namespace: string | undefined): string {
  const root = spec.apiVersion === "v1" ? "/api/v1" : `/apis/${spec.apiVersion}`;
  return namespace === undefined ? `${root}/${spec.plural}` : `${root}/namespaces/${namespace}/${spec.plural}`;
}

export function objectPath(spec: Pick<KindSpec, "apiVersion" | "plural">, namespace: string, name: string): string {
  return `${collectionPath(spec, namespace)}/${name}`;
}

export const secrets = { apiVersion: "v1", plural: "secrets" } as const;
export const leases = { apiVersion: "coordination.k8s.io/v1", plural: "leases" } as const;
export const events = { apiVersion: "v1", plural: "events" } as const;
