/** Names of the labels and annotations by which Gatehouse knows its objects. */

/** Labels: values are hashes or names, never what a user chose. */
export const label = {
  /** Which Gatehouse an object belongs to: `runtime.kubernetes.installation`. On all objects; what is watched. */
  installation: "gatehouse.dev/installation",
  /** The driver's name (`gh-…`). On the main object, its pod and its Secret. */
  driver: "gatehouse.dev/driver",
  profile: "gatehouse.dev/profile",
  /** The first 32 hex digits of the owner's SHA-256. */
  owner: "gatehouse.dev/owner-hash",
  /** "user" or "group". */
  share: "gatehouse.dev/share-level",
  /** On executors, which never have `driver`: the name of the driver that they work for. */
  executorOf: "gatehouse.dev/executor-of",
  /** "true" on pods of drivers that others started and that Gatehouse shall serve. */
  discover: "gatehouse.dev/discover",
} as const;

export const annotation = {
  /** What Gatehouse knows of the driver, as JSON: {@link DriverFacts}. */
  facts: "gatehouse.dev/facts",
  /** Proof that Gatehouse wrote the facts about this very object: see `seal.ts`. */
  seal: "gatehouse.dev/seal",
  /** For people: `namespace/app`. */
  session: "gatehouse.dev/session",
  /** For people; on discovered drivers it counts: the owner's id (`subject@issuer-name`). */
  owner: "gatehouse.dev/owner",
  /** On discovered drivers: the session's app name; default the pod's name. */
  app: "gatehouse.dev/app",
  /** On discovered drivers: the Secret that holds the token, `name` or `name/key` (default key `token`). */
  tokenSecret: "gatehouse.dev/token-secret",
  /** On discovered drivers: the profile whose lifetimes hold; default `default`. */
  profile: "gatehouse.dev/profile",
  /** An ActivityRecord, as JSON. */
  activity: "gatehouse.dev/activity",
  /** `{reason, since}`, as JSON; absent while the driver takes new work. */
  draining: "gatehouse.dev/draining",
  /** Which pod of the main object was the first to be ready: `podIncarnation`. Another one later is another incarnation. */
  pod: "gatehouse.dev/pod",
  /** For people: when the maximum lifetime ends, RFC 3339. */
  expiresAt: "gatehouse.dev/expires-at",
  /** Hash of the template that the object was made from: differs where the profile has changed since. */
  template: "gatehouse.dev/template",
  /** On plain pods: the template of the executors' pods, as JSON, which the pod gets as a file. */
  executorTemplate: "gatehouse.dev/executor-template",
} as const;

/** What a start writes on the main object. Never changed afterwards. */
export interface DriverFacts {
  readonly v: 1;
  readonly cluster: string;
  readonly namespace: string;
  readonly app: string;
  readonly owner: string;
  readonly ownerUser: string;
  readonly sharedWithGroups: readonly string[];
  readonly profile: string;
  /** Name of the Secret with the token under the key `token`; absent for drivers without one. */
  readonly tokenSecret?: string;
  /** ms since the epoch, by the clock of the replica that started it. */
  readonly createdAt: number;
}

/** The Secret's key under which a driver's token is kept. */
export const tokenKey = "token";
