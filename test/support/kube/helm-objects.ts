import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";
import type { Endpoint } from "./network-policy.ts";

// Parts of what the chart renders, in the words of tests.

export interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
  }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

export interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly terminationGracePeriodSeconds: number;
    readonly serviceAccountName: string;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly volumes: readonly Readonly<Record<string, unknown>>[];
    readonly [key: string]: unknown;
  };
}

export interface Deployment extends KubeObject {
  readonly spec: {
    readonly replicas?: number;
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly template: PodTemplate;
  };
}

export interface Role extends KubeObject {
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
    readonly resourceNames?: readonly string[];
  }[];
}

/** @throws Error where there is none */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller says what that kind holds
export function objectOf<T extends KubeObject>(objects: readonly KubeObject[], kind: string, name: string): T {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found as T;
}

/** Gatehouse's configuration and what its container's environment lays over it, as kubelet would fill it in. */
export function configOf(objects: readonly KubeObject[]): { file: string; env: Record<string, string> } {
  const { data } = objectOf<KubeObject & { data: Record<string, string> }>(objects, "ConfigMap", "gatehouse");
  const { containers } = objectOf<Deployment>(objects, "Deployment", "gatehouse").spec.template.spec;
  const fields: Record<string, string> = { "status.podIP": "10.1.2.3", "metadata.name": "gatehouse-0" };
  const env: Record<string, string> = {};
  for (const { name, value, valueFrom } of containers.find((one) => one.name === "gatehouse")?.env ?? []) {
    const field = fields[valueFrom?.fieldRef?.fieldPath ?? ""];
    env[name] = field ?? (value ?? "").replaceAll(/\$\((\w+)\)/g, (_, known: string) => env[known] ?? "");
  }
  return { file: data["gatehouse.yaml"] ?? "", env };
}

/** A pod of the Deployment, as NetworkPolicies see it. */
export function endpointOf(objects: readonly KubeObject[], deployment: string, namespace = "gatehouse"): Endpoint {
  const { metadata, spec } = objectOf<Deployment>(objects, "Deployment", deployment).spec.template;
  const ports = spec.containers.flatMap((container) => container.ports ?? []);
  return {
    namespace,
    labels: metadata.labels,
    ports: Object.fromEntries(ports.map(({ name, containerPort }) => [name, containerPort])),
  };
}
