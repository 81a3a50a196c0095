import { collectionPath, secrets } from "./kinds.ts";
import { annotation, label } from "./labels.ts";
import type { DriverResource, Secret, Stored } from "./objects.ts";
import { isSealed } from "./seal.ts";
import type { Term } from "./term.ts";

/*
 * A seal is made on the driver's Secret, together with the token. On the main object it would be a change in the middle
 * of the submission, and kubeflow's operator answers that by submitting once more: the second one fails, since the pod is
 * there. It is copied to the main object when the driver is ready, and from then on stands without the Secret.
 */

/** Whether a seal of ours, on the main object or on a Secret that it owns, proves the facts on the main object. */
export function isProved(
  keys: readonly Uint8Array[],
  { metadata: { uid, annotations = {} } }: Stored<DriverResource>,
  owned: readonly Stored<Secret>[],
): boolean {
  const facts = annotations[annotation.facts];
  if (facts === undefined) return false;
  const seals = [annotations, ...owned.map(({ metadata }) => metadata.annotations ?? {})];
  return seals.some(({ [annotation.seal]: text }) => text !== undefined && isSealed(keys, uid, facts, text));
}

/** As {@link isProved}, by what the server holds now: for what cannot be taken back. @throws ApiError, TermOver */
export async function isProvedAtServer(
  term: Term,
  keys: readonly Uint8Array[],
  main: Stored<DriverResource>,
): Promise<boolean> {
  const { uid, name, namespace = "" } = main.metadata;
  if (isProved(keys, main, [])) return true;
  const { items } = await term.call<{ readonly items: readonly Stored<Secret>[] }>({
    method: "GET",
    path: collectionPath(secrets, namespace),
    query: { labelSelector: `${label.driver}=${name}` },
  });
  const owned = items.filter(({ metadata }) => metadata.ownerReferences?.some((owner) => owner.uid === uid) === true);
  return isProved(keys, main, owned);
}
