import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";
import { type Collection, type KubeAdmin, serviceAccounts } from "./access.ts";

/** As in a Role. */
export interface PolicyRule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

export interface TokenOptions {
  /** Default the API server's own. */
  readonly audiences?: readonly string[];
  /** At least 600; default 3600. */
  readonly seconds?: number;
}

export interface WantedAccess {
  readonly verb: string;
  readonly resource: string;
  readonly group?: string;
  readonly subresource?: string;
  /** Default all namespaces. */
  readonly namespace?: string;
  readonly name?: string;
}

const rbac = "rbac.authorization.k8s.io";
const collection = (plural: string): Collection => ({ apiVersion: `${rbac}/v1`, plural });

/** How RBAC names a ServiceAccount as a user. */
export const serviceAccountUser = (namespace: string, name: string): string =>
  `system:serviceaccount:${namespace}:${name}`;

/** A token of that ServiceAccount, which is made where it is missing. */
export async function serviceAccountToken(
  admin: KubeAdmin,
  namespace: string,
  name: string,
  { audiences = [], seconds = 3600 }: TokenOptions = {},
): Promise<string> {
  await createIfMissing(admin, serviceAccounts, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name, namespace },
  });
  const { status } = await admin.request<{ status: { token: string } }>(
    "POST",
    `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
    {
      body: {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: { audiences, expirationSeconds: seconds },
      },
    },
  );
  return status.token;
}

/**
 * Gives a user the rights, in one namespace or (undefined) in the whole cluster, as a role and a binding of that name.
 * What a role of that name gave before is replaced.
 */
export async function grant(
  admin: KubeAdmin,
  name: string,
  to: { readonly user: string; readonly namespace: string | undefined; readonly rules: readonly PolicyRule[] },
): Promise<void> {
  const prefix = to.namespace === undefined ? "Cluster" : "";
  const metadata = { name, ...(to.namespace === undefined ? {} : { namespace: to.namespace }) };
  const role = { apiVersion: `${rbac}/v1`, kind: `${prefix}Role`, metadata, rules: to.rules };
  const binding = {
    apiVersion: `${rbac}/v1`,
    kind: `${prefix}RoleBinding`,
    metadata,
    roleRef: { apiGroup: rbac, kind: `${prefix}Role`, name },
    subjects: [{ apiGroup: rbac, kind: "User", name: to.user }],
  };
  await admin.apply(collection(`${prefix.toLowerCase()}roles`), role);
  await admin.apply(collection(`${prefix.toLowerCase()}rolebindings`), binding);
}

/** Whether RBAC lets that user (with these groups) do it. */
export async function mayDo(
  admin: KubeAdmin,
  user: string,
  wanted: WantedAccess,
  groups: readonly string[] = [],
): Promise<boolean> {
  const path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
  const body = {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    spec: { user, groups, resourceAttributes: wanted },
  };
  return (await admin.request<{ status: { allowed: boolean } }>("POST", path, { body })).status.allowed;
}

async function createIfMissing(admin: KubeAdmin, of: Collection, object: KubeObject): Promise<void> {
  try {
    await admin.create(of, object);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 409)) throw error;
  }
}
