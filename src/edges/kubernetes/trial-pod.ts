import { ApiError } from "./api.ts";
import { collectionPath, kinds } from "./kinds.ts";
import type { StartPlan } from "./start-plan.ts";
import type { Term } from "./term.ts";

const isQuota = /exceeded quota|failed quota/;

/**
 * Tries, without making it, the pod that kubeflow's operator will make of a SparkConnect: where the namespace's quota has no
 * room for it the operator writes no word of that anywhere, and whoever waits would wait for the start's whole time limit.
 * Only quotas count: another refusal may be about who asks. Where Gatehouse itself may not make pods, nothing is learnt.
 * @throws ApiError where a quota is in the way; TermOver
 */
export async function tryServerPod(term: Term, { namespace, name, profile, resource }: StartPlan): Promise<void> {
  const template = serverTemplate(resource.spec);
  if (profile.kind !== "spark-connect" || template === undefined) return;
  const { metadata = {}, spec = {} } = template;
  const containers = (spec.containers ?? []).map((container) => ({ image: profile.image, ...container }));
  const body = {
    apiVersion: kinds.pod.apiVersion,
    kind: kinds.pod.kind,
    metadata: { ...metadata, name: `${name}-server`, namespace },
    spec: { ...spec, containers },
  };
  const path = collectionPath(kinds.pod, namespace);
  try {
    await term.call({ method: "POST", path, query: { dryRun: "All" }, body });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 403 && isQuota.test(error.message)) throw error;
  }
}

interface Template {
  readonly metadata?: object;
  readonly spec?: { readonly containers?: readonly object[] };
}

/** As `template-spark-connect.ts` makes it. */
function serverTemplate(spec: unknown): Template | undefined {
  const server = fieldOf(spec, "server");
  const template = fieldOf(server, "template");
  return typeof template === "object" && template !== null ? template : undefined;
}

const fieldOf = (object: unknown, name: string): unknown =>
  typeof object === "object" && object !== null ? Reflect.get(object, name) : undefined;
