import { setTimeout as delay } from "node:timers/promises";
import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import type { KindSpec } from "../../../src/edges/kubernetes/kinds.ts";
import type { KubeObject, ObjectMeta, OwnerReference } from "../../../src/edges/kubernetes/objects.ts";
import { type KubeAdmin, pods } from "./access.ts";
import type { AgentPod } from "./kubelet-types.ts";
import { watchAll } from "./node-agent-watch.ts";

/** An object of an operator's kind; spec and status are the kind's own. */
export interface Custom<Spec = unknown, Status = unknown> {
  readonly metadata: ObjectMeta & {
    readonly uid: string;
    readonly namespace: string;
    readonly resourceVersion: string;
    readonly finalizers?: readonly string[];
  };
  readonly spec: Spec;
  readonly status?: Status;
}

/** What a reconcile step has at hand. */
export interface OperatorWorld {
  readonly admin: KubeAdmin;
  readonly of: KindSpec;
  /** The message with which the next submission is to fail; asked once for each. */
  takeFailure(): string | undefined;
}

/**
 * One look at an object and its pod: brings it one step further. Called again when either changed, and after an error
 * (an update of an old version, say).
 * @param pod the one that the object controls, if any
 */
export type Reconcile = (world: OperatorWorld, object: Custom, pod: AgentPod | undefined) => Promise<void>;

const retryMs = 200;

/** Watches the kind and its pods, and reconciles one object after the other until the signal aborts. Never rejects. */
export async function runOperator(world: OperatorWorld, reconcile: Reconcile, signal: AbortSignal): Promise<void> {
  const names = new Map<string, Custom["metadata"]>();
  const controllers = new Map<string, string | undefined>();
  const dirty = new Set<string>();
  let wake = (): void => undefined;
  const touch = (uid: string | undefined): void => {
    if (uid === undefined) return;
    dirty.add(uid);
    wake();
  };
  signal.addEventListener("abort", () => wake(), { once: true });
  const watching = [
    watchAll<Custom>(world.admin, world.of, signal, {
      onObject(object) {
        names.set(object.metadata.uid, object.metadata);
        touch(object.metadata.uid);
      },
      onGone: (uid) => void names.delete(uid),
      known: () => names.keys(),
    }),
    watchAll<AgentPod>(world.admin, pods, signal, {
      onObject(pod) {
        controllers.set(pod.metadata.uid, controllerOf(pod));
        touch(controllerOf(pod));
      },
      onGone(uid) {
        touch(controllers.get(uid));
        controllers.delete(uid);
      },
      known: () => controllers.keys(),
    }),
  ];
  while (!signal.aborted) {
    const [uid] = dirty;
    if (uid === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    dirty.delete(uid);
    const named = names.get(uid);
    if (named === undefined) continue;
    try {
      await reconcileNow(world, reconcile, named);
    } catch {
      void delay(retryMs, undefined, { signal }).then(
        () => touch(uid),
        () => undefined,
      );
    }
  }
  await Promise.all(watching);
}

/** With what there is now, rather than with what the watches told last. */
async function reconcileNow(world: OperatorWorld, reconcile: Reconcile, named: Custom["metadata"]): Promise<void> {
  const { namespace, name, uid } = named;
  const object = await world.admin.find<KubeObject>(world.of, namespace, name);
  if (object?.metadata.uid !== uid) return;
  const there = (await world.admin.list(pods, namespace)) as readonly unknown[] as readonly AgentPod[];
  await reconcile(
    world,
    object as unknown as Custom,
    there.find((pod) => controllerOf(pod) === uid),
  );
}

const controllerOf = ({ metadata }: AgentPod): string | undefined =>
  metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid;

/** The reference by which an object controls what it makes. */
export function controllerReference({ of }: OperatorWorld, { metadata }: Custom): OwnerReference {
  const { apiVersion, kind } = of;
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid, controller: true, blockOwnerDeletion: true };
}

/** Writes the status onto this very version of the object. @throws ApiError 409 where there is a newer one */
export async function writeStatus({ admin, of }: OperatorWorld, { metadata }: Custom, status: object): Promise<void> {
  const { namespace, name, resourceVersion } = metadata;
  await admin.patch(of, namespace, name, { metadata: { resourceVersion }, status }, "status");
}

/** Makes the object; one of that name that is there already is left as it is. */
export async function createOnce(admin: KubeAdmin, ...[of, object]: Parameters<KubeAdmin["create"]>): Promise<void> {
  await admin.create(of, object).catch((error: unknown) => {
    if (!(error instanceof ApiError) || error.reason !== "AlreadyExists") throw error;
  });
}

export async function deletePod(admin: KubeAdmin, pod: AgentPod | undefined): Promise<void> {
  if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return;
  await admin.delete(pods, pod.metadata.namespace, pod.metadata.name).catch((error: unknown) => {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
  });
}
