import { type DriverKind, kinds } from "../../../src/edges/kubernetes/kinds.ts";
import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";
import { until } from "../until.ts";
import type { Collection, KubeAdmin } from "./access.ts";
import { crdSchemas } from "./crd-schemas.ts";

export interface CustomResourceDefinition extends KubeObject {
  readonly spec: {
    readonly group: string;
    readonly scope: "Namespaced";
    readonly names: Readonly<Record<"kind" | "listKind" | "plural" | "singular", string>>;
    readonly versions: readonly { readonly name: string; readonly [key: string]: unknown }[];
  };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

const definitions: Collection = { apiVersion: "apiextensions.k8s.io/v1", plural: "customresourcedefinitions" };

/** Of the three operators, as far as a test needs them; their controllers are not part of it. */
export const operatorCrds: readonly CustomResourceDefinition[] = [
  definition("spark-application", "https://github.com/kubeflow/spark-operator/pull/1298"),
  definition("spark-connect", "https://github.com/kubeflow/spark-operator/pull/1298"),
  definition("apache-spark-application", undefined, "v1beta1"),
];

/** @param approved where the group is one of Kubernetes' own, which the API server keeps for what was reviewed */
function definition(
  kind: Exclude<DriverKind, "pod">,
  approved: string | undefined,
  ...olderVersions: string[]
): CustomResourceDefinition {
  const { group, plural, kind: name, apiVersion } = kinds[kind];
  const { spec, status } = crdSchemas[kind];
  const openAPIV3Schema = {
    type: "object",
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { type: "object" },
      spec,
      status,
    },
    required: ["spec"],
  };
  const versions = [apiVersion.slice(group.length + 1), ...olderVersions].map((version, index) => ({
    name: version,
    served: true,
    storage: index === 0,
    subresources: { status: {} },
    schema: { openAPIV3Schema },
  }));
  return {
    apiVersion: definitions.apiVersion,
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${group}`,
      ...(approved === undefined ? {} : { annotations: { "api-approved.kubernetes.io": approved } }),
    },
    spec: {
      group,
      scope: "Namespaced",
      names: { kind: name, listKind: `${name}List`, plural, singular: name.toLowerCase() },
      versions,
    },
  };
}

/** Resolves when objects of all these kinds can be made. Kinds that are there already are brought to this state. */
export async function installCrds(
  admin: KubeAdmin,
  wanted: readonly CustomResourceDefinition[] = operatorCrds,
): Promise<void> {
  await Promise.all(
    wanted.map(async (one) => {
      await admin.apply(definitions, one);
      const { name } = one.metadata;
      await until(async () => isEstablished(await admin.get(definitions, undefined, name)), {
        what: `${name} is established`,
        deadlineMs: 20_000,
      });
      for (const version of one.spec.versions) await untilServed(admin, one, version.name);
    }),
  );
}

/** Resolves when they, and with them all their objects, are gone. */
export async function uninstallCrds(
  admin: KubeAdmin,
  unwanted: readonly CustomResourceDefinition[] = operatorCrds,
): Promise<void> {
  await Promise.all(
    unwanted.map(async ({ metadata: { name } }) => {
      if ((await admin.find(definitions, undefined, name)) === undefined) return;
      await admin.delete(definitions, undefined, name);
      await admin.gone(definitions, undefined, name);
    }),
  );
}

function isEstablished({ status }: CustomResourceDefinition): boolean {
  return status?.conditions?.some(({ type, status }) => type === "Established" && status === "True") === true;
}

/** Established comes a little before the paths are there. */
async function untilServed(admin: KubeAdmin, { spec }: CustomResourceDefinition, version: string): Promise<void> {
  const path = `/apis/${spec.group}/${version}/${spec.names.plural}`;
  const served = async () =>
    await admin.request("GET", path, { query: { limit: 1 } }).then(
      () => true,
      () => false,
    );
  await until(served, { what: `${path} is served`, deadlineMs: 20_000 });
}
