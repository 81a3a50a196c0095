import { observeDiscovered, tokenSecretOf } from "./discovered.ts";
import type { MainObject } from "./index-objects.ts";
import type { DriverKind } from "./kinds.ts";
import { annotation, tokenKey } from "./labels.ts";
import type { DriverResource, Secret, Stored } from "./objects.ts";
import { observe } from "./observe.ts";
import type { DriverObjects, ObserveContext, Observed } from "./observe-types.ts";
import { podOf } from "./pod-of.ts";
import { isSealed } from "./seal.ts";
import type { Entry, World } from "./world.ts";

/** All that is known of a driver now. */
export function objectsOf(world: World, entry: Entry, main: MainObject): DriverObjects {
  const { index, prober, diagnoser, options } = world;
  const kind: DriverKind = main.source === "discovered" ? "pod" : main.source;
  const { object } = main;
  return {
    kind,
    main: object,
    sealed: isOurs(options.sealKeys, entry, object),
    pod: podOf(kind, object, index.ownedPods(entry.uid)),
    firstPodUid: entry.firstPodUid,
    token: tokenOf(index.secretOf(main), main),
    events: diagnoser.eventsOf(entry.uid),
    answers: prober.answers(entry.uid),
    logTail: diagnoser.logOf(entry.uid) ?? [],
    failed: entry.failed,
    stopOrdered: entry.stopOrdered,
  };
}

export function observeMain({ options }: World, main: MainObject, objects: DriverObjects): Observed {
  const { cluster, port, profiles, startTimeoutMs, unschedulableGraceMs, clock } = options;
  const context: ObserveContext = { now: clock.now(), cluster, port, profiles, startTimeoutMs, unschedulableGraceMs };
  return main.source === "discovered"
    ? observeDiscovered({ ...objects, pod: objects.main }, context)
    : observe(objects, context);
}

/** A seal is verified once for each text of it and of the facts. */
function isOurs(
  keys: readonly Uint8Array[],
  entry: Entry,
  { metadata: { uid, annotations = {} } }: Stored<DriverResource>,
): boolean {
  const facts = annotations[annotation.facts];
  const sealText = annotations[annotation.seal];
  if (facts === undefined || sealText === undefined) return false;
  const about = `${sealText} ${facts}`;
  if (entry.sealChecked?.about !== about) {
    entry.sealChecked = { about, valid: isSealed(keys, uid, facts, sealText) };
  }
  return entry.sealChecked.valid;
}

function tokenOf(secret: Secret | undefined, { source, object }: MainObject): string | undefined {
  const key = source === "discovered" ? tokenSecretOf(object)?.key : undefined;
  const value = secret?.data?.[key ?? tokenKey];
  return value === undefined || value === "" ? undefined : Buffer.from(value, "base64").toString("utf8").trim();
}
