import type { PolicyRule } from "./access-rights.ts";

/** What Gatehouse may do where drivers run; the chart's `gatehouse.driverRules` for all kinds. */
export const driverRules: readonly PolicyRule[] = [
  { apiGroups: [""], resources: ["pods"], verbs: ["get", "list", "watch", "create", "patch", "delete"] },
  {
    apiGroups: ["sparkoperator.k8s.io"],
    resources: ["sparkapplications", "sparkconnects"],
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
  },
  {
    apiGroups: ["spark.apache.org"],
    resources: ["sparkapplications"],
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
  },
  { apiGroups: [""], resources: ["secrets"], verbs: ["get", "list", "watch", "create", "delete"] },
  { apiGroups: [""], resources: ["events"], verbs: ["list"] },
  { apiGroups: [""], resources: ["pods/log"], verbs: ["get"] },
];

/** What it may do where its Lease lies. */
export const leaseRules: readonly PolicyRule[] = [
  { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "create", "update"] },
];
