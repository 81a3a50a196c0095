import type {
  ContainerStatus,
  ObjectMeta,
  Pod,
  PodCondition,
  PodStatus,
} from "../../../src/edges/kubernetes/objects.ts";

/** The parts of a pod that a kubelet acts on. Source: the Kubernetes API reference, v1. */
export interface AgentPod extends Omit<Pod, "spec" | "status"> {
  readonly metadata: ObjectMeta & {
    readonly uid: string;
    readonly namespace: string;
    readonly deletionGracePeriodSeconds?: number;
    readonly resourceVersion: string;
  };
  readonly spec: {
    readonly nodeName?: string;
    readonly nodeSelector?: Readonly<Record<string, string>>;
    readonly restartPolicy?: "Always" | "OnFailure" | "Never";
    readonly serviceAccountName?: string;
    readonly containers: readonly AgentContainer[];
    readonly volumes?: readonly {
      readonly name: string;
      readonly configMap?: { readonly name?: string };
    }[];
  };
  readonly status?: PodStatus & {
    readonly startTime?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly conditions?: readonly PodCondition[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

export interface AgentContainer {
  readonly name: string;
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly EnvVar[];
  readonly resources?: {
    readonly limits?: Readonly<Record<string, string>>;
    readonly requests?: Readonly<Record<string, string>>;
  };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly readinessProbe?: Readonly<Record<string, unknown>>;
}

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly secretKeyRef?: KeyRef;
    readonly configMapKeyRef?: KeyRef;
  };
}

interface KeyRef {
  readonly name: string;
  readonly key: string;
  readonly optional?: boolean;
}

export const podPath = ({ metadata }: AgentPod): string =>
  `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
