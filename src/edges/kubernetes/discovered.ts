import { isDnsLabel } from "../../sessions/session-key-parse.ts";
import { isSessionName } from "./facts-name.ts";
import { annotation, label, tokenKey } from "./labels.ts";
import type { Pod, Stored } from "./objects.ts";
import { type DriverIdentity, observeAs } from "./observe.ts";
import { timeOf } from "./observe-pod.ts";
import type { DriverObjects, ObserveContext, Observed } from "./observe-types.ts";
import { podIncarnation } from "./pod-of.ts";

/** As {@link DriverObjects}, of a driver that is a pod of somebody else's. */
export interface DiscoveredObjects
  extends Pick<DriverObjects, "firstPodUid" | "token" | "events" | "answers" | "refusal" | "logTail" | "stopOrdered"> {
  readonly pod: Stored<Pod>;
}

/** Whether a pod asks to be served. Pods of drivers that Gatehouse started never do: they count by their main object. */
export function isDiscovered({ metadata }: Pick<Pod, "metadata">): boolean {
  return metadata.labels?.[label.discover] === "true" && metadata.labels[label.driver] === undefined;
}

/** The Secret that a discovered pod's annotation names, and the key in it; undefined where none is well-formed. */
export function tokenSecretOf({ metadata }: Pick<Pod, "metadata">): { name: string; key: string } | undefined {
  const named = metadata.annotations?.[annotation.tokenSecret];
  const [name = "", key = tokenKey, ...more] = named?.split("/") ?? [];
  const wellFormed = name.length <= 253 && name.split(".").every(isDnsLabel) && /^[-._a-zA-Z0-9]{1,253}$/.test(key);
  return wellFormed && more.length === 0 ? { name, key } : undefined;
}

/**
 * What a pod means that somebody else started and that asks to be served: its session, owner, profile and token Secret are
 * in its annotations. Its uid is the pod's, `-r<n>` added once its container was restarted n times: Spark's sessions do
 * not outlive that.
 *
 * Nothing here is sealed: whoever may create pods in a namespace may claim any free session of that namespace, for any
 * owner, who then sends queries there. So discovery is for namespaces whose pods are made by people who are trusted with
 * that; a driver that carries a seal must win over a discovered one of the same key. A failure is not remembered and there
 * is no limit to a start: it is not ours to give up.
 */
export function observeDiscovered(objects: DiscoveredObjects, context: ObserveContext): Observed {
  const identity = identityOf(objects.pod, context);
  if (typeof identity === "string") return { what: "foreign", why: identity };
  const { uid } = identity;
  const known = [objects.firstPodUid, objects.pod.metadata.annotations?.[annotation.pod]].includes(uid);
  const pod = withoutEarlierLife(objects.pod, uid);
  const all: DriverObjects = {
    ...objects,
    kind: "pod",
    main: pod,
    pod,
    sealed: true,
    firstPodUid: known ? uid : undefined,
    failed: undefined,
  };
  const over = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
  // What ended before we saw it ready is not a start that failed: finished pods stay about for days.
  return observeAs(identity, over ? { ...all, firstPodUid: uid } : all, {
    ...context,
    startTimeoutMs: Number.POSITIVE_INFINITY,
  });
}

/** The pod, without what an earlier life noted on it: that would end this one. */
function withoutEarlierLife(pod: Stored<Pod>, uid: string): Stored<Pod> {
  const { [annotation.pod]: noted, ...others } = pod.metadata.annotations ?? {};
  return noted === undefined || noted === uid ? pod : { ...pod, metadata: { ...pod.metadata, annotations: others } };
}

/** Who it is; or what to change before it can be served. */
function identityOf(pod: Stored<Pod>, { cluster, profiles }: ObserveContext): DriverIdentity | string {
  const { name, namespace = "", annotations, creationTimestamp } = pod.metadata;
  const key = { cluster, namespace, app: annotations?.[annotation.app] ?? name };
  if (!isSessionName(key)) {
    return `its session name is not a DNS name: add the annotation ${annotation.app} with one, in lower case`;
  }
  const owner = annotations?.[annotation.owner];
  if (owner === undefined || !isOwner(owner)) {
    return `it names no owner: add the annotation ${annotation.owner} with <subject>@<issuer name>`;
  }
  const profile = annotations?.[annotation.profile] ?? "default";
  if (!Object.hasOwn(profiles, profile)) {
    return `it has a profile that is not configured: add the annotation ${annotation.profile} with one that is`;
  }
  const tokenSecret = tokenSecretOf(pod)?.name;
  if (
    tokenSecret === undefined &&
    (annotations?.[annotation.tokenSecret] !== undefined || !tokenless(profiles, profile))
  ) {
    return `it names no Secret with its token: add the annotation ${annotation.tokenSecret} with <name> or <name>/<key>`;
  }
  return {
    uid: podIncarnation(pod),
    name,
    key,
    owner,
    ownerUser: owner.slice(0, owner.lastIndexOf("@")),
    sharedWithGroups: [],
    profile,
    createdAt: timeOf(creationTimestamp) ?? 0,
    tokenSecret,
  };
}

const tokenless = (profiles: ObserveContext["profiles"], name: string): boolean =>
  profiles[name]?.allowTokenless === true;

/** As `ownerId` writes it: the issuer's name has no "@". */
function isOwner(owner: string): boolean {
  const at = owner.lastIndexOf("@");
  return at > 0 && owner.length <= 1_024 && isDnsLabel(owner.slice(at + 1));
}
