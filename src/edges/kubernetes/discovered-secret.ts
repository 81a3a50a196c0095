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
 * The token goes to the driver with every call. So a pod that names another driver's Secret would be given that driver's
 * token: those that we made for our own drivers are no others', and one that says for which session or owner it is
 * (`gatehouse.dev/session`, `gatehouse.dev/owner`, each as on the driver) is for no other.
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
  const forOther = (what: string, mine: string | undefined): boolean =>
    annotations?.[what] !== undefined && annotations[what] !== mine;
  if (forOther(annotation.session, session)) {
    return `the Secret that it names is for another session: its annotation ${annotation.session} says so`;
  }
  if (forOther(annotation.owner, claims?.[annotation.owner])) {
    return `the Secret that it names is for another owner: its annotation ${annotation.owner} says so`;
  }
  return undefined;
}

/** `namespace/name` of the Secret that an object names by its annotation, whatever else it may say. */
export function namedSecretPlace({ metadata: { namespace = "", annotations } }: KubeObject): string | undefined {
  const name = annotations?.[annotation.tokenSecret]?.split("/")[0];
  return name === undefined ? undefined : `${namespace}/${name}`;
}
