import { annotation, label, tokenKey } from "./labels.ts";
import type { KubeObject, Pod, Secret, Stored } from "./objects.ts";

/** What a header may carry; far longer than Spark's own tokens need to be. */
const token = /^[\x21-\x7e]{1,8192}$/;

/** The token that a Secret holds under that key; undefined where there is none that a client could send. */
export function tokenIn(secret: Secret | undefined, key: string = tokenKey): string | undefined {
  const data = secret?.data ?? {};
  const value = Object.hasOwn(data, key) ? data[key] : undefined;
  const text = value === undefined ? "" : Buffer.from(value, "base64").toString("utf8").trim();
  return token.test(text) ? text : undefined;
}

/**
 * Why a discovered driver may not have the Secret that it names, in words for who made it; undefined where it may.
 *
 * The owner's calls go to the driver, and the token with every one of them. What runs in a driver may often create pods (its
 * executors), but no Secrets: so it is the Secret that vouches for the owner (`gatehouse.dev/owner`, as on the driver), and
 * for the session where it says one (`gatehouse.dev/session`). Those that we made for our own drivers are no others'.
 */
export function secretRefusal(
  { metadata: { labels, annotations } }: Stored<Secret>,
  pod: Pick<Pod, "metadata">,
): string | undefined {
  if (labels?.[label.driver] !== undefined || annotations?.[annotation.seal] !== undefined) {
    return "the Secret that it names is another driver's: name one of its own";
  }
  const { namespace, name, annotations: claims } = pod.metadata;
  const session = `${namespace}/${claims?.[annotation.app] ?? name}`;
  const { [annotation.session]: forSession, [annotation.owner]: forOwner } = annotations ?? {};
  if (forSession !== undefined && forSession !== session) {
    return `the Secret that it names is for another session: its annotation ${annotation.session} says so`;
  }
  if (forOwner === undefined) {
    return `the Secret that it names does not say whose it is: annotate the Secret with ${annotation.owner}, as on the pod`;
  }
  if (forOwner !== claims?.[annotation.owner]) {
    return `the Secret that it names is for another owner: its annotation ${annotation.owner} says so`;
  }
  return undefined;
}

/** `namespace/name` of the Secret that an object names by its annotation, whatever else it may say. */
export function namedSecretPlace({ metadata: { namespace = "", annotations } }: KubeObject): string | undefined {
  const name = annotations?.[annotation.tokenSecret]?.split("/")[0];
  return name === undefined ? undefined : `${namespace}/${name}`;
}
