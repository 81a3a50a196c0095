import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import type { Pod } from "../../../src/edges/kubernetes/objects.ts";
import { until } from "../until.ts";
import { type KubeAdmin, pods } from "./access.ts";

/** A quota that no pod fits into; resolves when it holds. */
export async function exhaustQuota({ admin }: { readonly admin: KubeAdmin }, namespace: string): Promise<void> {
  const of = { apiVersion: "v1", plural: "resourcequotas" };
  const quota = { metadata: { name: "team", namespace }, spec: { hard: { "requests.memory": "100Mi" } } };
  await admin.create(of, { apiVersion: "v1", kind: "ResourceQuota", ...quota });
  await refuses(admin, namespace, "exceeded quota");
}

/** A policy of the cluster's that forbids every pod in that namespace; resolves when it holds. */
export async function forbidPods({ admin }: { readonly admin: KubeAdmin }, namespace: string): Promise<void> {
  const apiVersion = "admissionregistration.k8s.io/v1";
  const name = "approved-images";
  const rules = [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }];
  await admin.apply({ apiVersion, plural: "validatingadmissionpolicies" }, {
    apiVersion,
    kind: "ValidatingAdmissionPolicy",
    metadata: { name },
    spec: {
      failurePolicy: "Fail",
      matchConstraints: { resourceRules: rules },
      validations: [{ expression: "false", message: "only images of registry.example are approved" }],
    },
  } as object as Pod);
  const only = { matchLabels: { "kubernetes.io/metadata.name": namespace } };
  await admin.apply({ apiVersion, plural: "validatingadmissionpolicybindings" }, {
    apiVersion,
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: { name },
    spec: { policyName: name, validationActions: ["Deny"], matchResources: { namespaceSelector: only } },
  } as object as Pod);
  await refuses(admin, namespace, name);
}

async function refuses(admin: KubeAdmin, namespace: string, why: string): Promise<void> {
  const resources = { requests: { memory: "1Gi" } };
  const body = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "trial", namespace },
    spec: { containers: [{ name: "trial", image: "none", resources }] },
  };
  const isRefused = async () => {
    try {
      await admin.request("POST", `/api/v1/namespaces/${namespace}/${pods.plural}`, { query: { dryRun: "All" }, body });
      return false;
    } catch (error) {
      if (error instanceof ApiError && error.status !== 0) return error.message.includes(why);
      throw error;
    }
  };
  await until(isRefused, { deadlineMs: 60_000, what: `pods are refused in ${namespace}: ${why}` });
}
