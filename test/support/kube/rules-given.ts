import { kinds as allKinds, type DriverKind } from "../../../src/edges/kubernetes/kinds.ts";
import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";
import { until } from "../until.ts";
import type { Collection, KubeAdmin } from "./access.ts";
import { mayDo, type PolicyRule, serviceAccountUser, type WantedAccess } from "./access-rights.ts";
import { manifestObjects } from "./rules.ts";

/** One verb on one resource, and the role that gives it. */
export interface Right {
  /** Such as `pods list`, `sparkapplications.spark.apache.org get`. */
  readonly name: string;
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  readonly role: GivenRole;
}

type GivenRole = KubeObject & { readonly kind: string; readonly rules: readonly PolicyRule[] };

/** What one rendered manifest gives Gatehouse's ServiceAccount, on an API server. */
export interface GivenRules {
  readonly home: string;
  readonly account: string;
  /** The first one of its driver namespaces. */
  readonly namespace: string;
  readonly clusterWide: boolean;
  readonly kinds: readonly DriverKind[];
  readonly rights: readonly Right[];
  /** Puts accounts, roles and bindings in force. */
  apply(admin: KubeAdmin): Promise<void>;
  /** The same without this one right; resolves when it is so. @returns what gives it back */
  takeAway(admin: KubeAdmin, right: Right): Promise<() => Promise<void>>;
  remove(admin: KubeAdmin): Promise<void>;
}

const rbac = "rbac.authorization.k8s.io";
const collections: Readonly<Record<string, Collection>> = {
  ServiceAccount: { apiVersion: "v1", plural: "serviceaccounts" },
  Role: { apiVersion: `${rbac}/v1`, plural: "roles" },
  RoleBinding: { apiVersion: `${rbac}/v1`, plural: "rolebindings" },
  ClusterRole: { apiVersion: `${rbac}/v1`, plural: "clusterroles" },
  ClusterRoleBinding: { apiVersion: `${rbac}/v1`, plural: "clusterrolebindings" },
};
const collectionOf = ({ kind = "" }: KubeObject): Collection => collections[kind] ?? { apiVersion: "v1", plural: kind };

export function givenRules(example: string): GivenRules {
  const objects = manifestObjects(example).filter(({ kind = "" }) => kind in collections);
  const roles = (end: string) =>
    objects.filter(
      ({ kind, metadata }) => /^(Cluster)?Role$/.test(kind ?? "") && metadata.name.endsWith(end),
    ) as GivenRole[];
  const [lease] = roles("gatehouse-lease");
  const [drivers] = roles("gatehouse-drivers");
  const namespace = roles("gatehouse-spark")[0]?.metadata.namespace;
  const home = lease?.metadata.namespace;
  if (lease === undefined || drivers === undefined || namespace === undefined || home === undefined) {
    throw new Error(`the manifest ${example} lacks a role`);
  }
  const rights = [...rightsOf(drivers), ...rightsOf(lease)];
  const account = "gatehouse";
  const user = serviceAccountUser(home, account);
  const given = async (admin: KubeAdmin, right: Right, role: GivenRole, wanted: boolean) => {
    await admin.apply(collectionOf(role), role);
    const access = accessOf(right);
    await until(async () => (await mayDo(admin, user, access)) === wanted, { what: `${right.name} is ${wanted}` });
  };
  return {
    home,
    account,
    namespace,
    rights,
    clusterWide: drivers.kind === "ClusterRole",
    kinds: (Object.keys(allKinds) as DriverKind[]).filter((kind) =>
      rights.some(({ group, resource, verb }) => {
        const { group: ofKind, plural } = allKinds[kind];
        return group === ofKind && resource === plural && verb === "create";
      }),
    ),
    async apply(admin) {
      for (const object of objects) await admin.apply(collectionOf(object), object);
      for (const right of rights) await given(admin, right, right.role, true);
    },
    async takeAway(admin, right) {
      const before = right.role;
      await given(admin, right, { ...before, rules: without(before.rules, right) }, false);
      return async () => await given(admin, right, before, true);
    },
    async remove(admin) {
      for (const object of objects)
        await admin.delete(collectionOf(object), object.metadata.namespace, object.metadata.name);
    },
  };
}

const rightsOf = (role: GivenRole): readonly Right[] =>
  role.rules.flatMap(({ apiGroups = [], resources = [], verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        verbs.map((verb) => ({ name: nameOf(group, resource, verb), group, resource, verb, role })),
      ),
    ),
  );

const nameOf = (group: string, resource: string, verb: string): string =>
  `${resource}${group === "" ? "" : `.${group}`} ${verb}`;

/** Each resource has a rule of its own then. */
function without(rules: readonly PolicyRule[], { group, resource, verb }: Right): readonly PolicyRule[] {
  return rules
    .flatMap((rule) => (rule.resources ?? []).map((each) => ({ ...rule, resources: [each] })))
    .map((rule) => {
      const same = rule.apiGroups?.includes(group) === true && rule.resources.includes(resource);
      return same ? { ...rule, verbs: rule.verbs.filter((each) => each !== verb) } : rule;
    })
    .filter(({ verbs }) => verbs.length > 0);
}

function accessOf({ group, resource, verb, role: { metadata, rules } }: Right): WantedAccess {
  const [plural = "", subresource] = resource.split("/");
  const name = rules.find((rule) => rule.resources?.includes(resource) === true && rule.verbs.includes(verb))
    ?.resourceNames?.[0];
  return {
    verb,
    resource: plural,
    group,
    ...(subresource === undefined ? {} : { subresource }),
    ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
    ...(name === undefined ? {} : { name }),
  };
}
