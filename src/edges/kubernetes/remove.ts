import { GatewayError } from "../../kernel/errors.ts";
import { ApiError } from "./api.ts";
import type { MainObject, Source } from "./index-objects.ts";
import { kinds, objectPath, secrets } from "./kinds.ts";
import { annotation } from "./labels.ts";
import type { KubeObject, Stored } from "./objects.ts";
import type { KubernetesRuntimeOptions } from "./options.ts";
import { isStatus, type Term, TermOver } from "./term.ts";
import { untilHolds, type World } from "./world.ts";

/** How long an object may take to go after its deletion was accepted: a pod's grace and what its finalizers do. ms */
const goneLimitMs = 120_000;
const maxAttempts = 5;

export const specOf = (source: Exclude<Source, "secret">) => kinds[source === "discovered" ? "pod" : source];

/**
 * Deletes this very object, whatever was changed on it meanwhile; another object that has its name by now stays. Resolves
 * when the deletion is accepted, or the object is gone.
 * @throws ApiError, TermOver
 */
export async function removeMain(
  { options }: { readonly options: Pick<KubernetesRuntimeOptions, "deletion"> },
  term: Term,
  { source, object }: MainObject,
  check?: Check,
): Promise<void> {
  const { name, namespace = "" } = object.metadata;
  await removeExactly(term, objectPath(specOf(source), namespace, name), object, options.deletion, check);
}

/** Looks at the object that is there instead of the known one, before that is deleted. Throws where it shall stay. */
export type Check = (present: Stored) => void;

/**
 * For a stop because nobody uses the driver: what was judged was the record on `judged`. Where another replica has recorded
 * a use since, or the drain has ended, the judgement does not hold any more.
 * @returns a check that throws GatewayError NOT_READY
 */
export function unlessUsed(judged: Stored): Check {
  const same = (present: Stored, name: string): boolean =>
    present.metadata.annotations?.[name] === judged.metadata.annotations?.[name];
  return (present) => {
    if (same(present, annotation.activity) && same(present, annotation.draining)) return;
    throw new GatewayError("NOT_READY", "the driver's use was recorded anew since it was judged; it is judged anew");
  };
}

/** As {@link removeMain}, for a Secret. */
export async function removeSecret(term: Term, secret: Stored): Promise<void> {
  const { name, namespace = "" } = secret.metadata;
  await removeExactly(term, objectPath(secrets, namespace, name), secret, "Background");
}

/**
 * Deletes a driver's object and its Secrets and waits until nothing of them, nor of its pods, is left. A Secret would be
 * collected as well, but late.
 * @throws ApiError, TermOver, what `check` throws; Error where something is still left after 2 minutes
 */
export async function removeWholly(world: World, term: Term, main: MainObject, check?: Check): Promise<void> {
  const { uid, name } = main.object.metadata;
  await removeMain(world, term, main, check);
  if (main.source !== "discovered") {
    for (const secret of world.index.ownedSecrets(uid)) await removeSecret(term, secret);
  }
  const limits = { limitMs: goneLimitMs, signal: term.signal };
  const gone = await untilHolds(world, () => !world.index.holds(uid), limits).catch(() => {
    throw new TermOver();
  });
  if (!gone) throw new Error(`${name} was deleted, but is not gone after ${goneLimitMs / 1000} s`);
}

async function removeExactly(
  term: Term,
  path: string,
  known: Stored,
  propagationPolicy: string,
  check?: Check,
): Promise<void> {
  const { uid } = known.metadata;
  let { resourceVersion } = known.metadata;
  for (let attempt = 1; ; attempt += 1) {
    const body = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      propagationPolicy,
      preconditions: { uid, resourceVersion },
    };
    try {
      await term.call({ method: "DELETE", path, body });
      return;
    } catch (error) {
      if (isStatus(error, 404)) return;
      if (!isStatus(error, 409) || attempt >= maxAttempts) throw error;
      const present = await readIfThere(term, path);
      if (present === undefined || present.metadata.uid !== uid) return;
      check?.(present);
      ({ resourceVersion } = present.metadata);
    }
  }
}

/** @throws ApiError (other than 404), TermOver */
export async function readIfThere<T extends KubeObject>(term: Term, path: string): Promise<Stored<T> | undefined> {
  try {
    return await term.call<Stored<T>>({ method: "GET", path });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
