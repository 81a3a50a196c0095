import { observeDiscovered, tokenSecretOf } from "./discovered.ts";
import { secretRefusal, tokenIn } from "./discovered-secret.ts";
import type { MainObject } from "./index-objects.ts";
import type { DriverKind } from "./kinds.ts";
import { annotation } from "./labels.ts";
import type { DriverResource, Secret, Stored } from "./objects.ts";
import { observe } from "./observe.ts";
import type { DriverObjects, ObserveContext, Observed } from "./observe-types.ts";
import { podOf } from "./pod-of.ts";
import { isProved } from "./proof.ts";
import type { Entry, World } from "./world.ts";

/** All that is known of a driver now. */
export function objectsOf(world: World, entry: Entry, main: MainObject): DriverObjects {
  const { index, prober, diagnoser } = world;
  const kind: DriverKind = main.source === "discovered" ? "pod" : main.source;
  const { object } = main;
  return {
    kind,
    main: object,
    sealed: isOurs(world, entry, object),
    seenAt: entry.seenAt,
    pod: podOf(kind, object, index.ownedPods(entry.uid)),
    firstPodUid: entry.firstPodUid,
    token: tokenOf(index.secretOf(main), main),
    events: diagnoser.eventsOf(entry.uid),
    answers: prober.answers(entry.uid),
    refusal: prober.refusal(entry.uid),
    logTail: diagnoser.logOf(entry.uid) ?? [],
    failed: entry.failed,
    stopOrdered: entry.stopOrdered,
  };
}

export function observeMain({ options, index }: World, main: MainObject, objects: DriverObjects): Observed {
  const { cluster, port, profiles, startTimeoutMs, unschedulableGraceMs, clock } = options;
  const context: ObserveContext = { now: clock.now(), cluster, port, profiles, startTimeoutMs, unschedulableGraceMs };
  if (main.source !== "discovered") return observe(objects, context);
  const secret = index.secretOf(main);
  const why = secret === undefined ? undefined : secretRefusal(secret, objects.main);
  return why === undefined ? observeDiscovered({ ...objects, pod: objects.main }, context) : { what: "foreign", why };
}

/**
 * Facts that were proved stay proved as long as they stay as they are: neither a Secret that somebody deletes nor Secrets
 * that cannot be read just now make a driver a stranger.
 */
function isOurs({ options, index }: World, entry: Entry, main: Stored<DriverResource>): boolean {
  const facts = main.metadata.annotations?.[annotation.facts];
  if (facts !== undefined && entry.provedFacts === facts) return true;
  const proved = isProved(options.sealKeys, main, index.ownedSecrets(entry.uid));
  entry.provedFacts = proved ? facts : undefined;
  return proved;
}

function tokenOf(secret: Stored<Secret> | undefined, { source, object }: MainObject): string | undefined {
  if (source !== "discovered") return tokenIn(secret);
  if (secret === undefined || secretRefusal(secret, object) !== undefined) return undefined;
  return tokenIn(secret, tokenSecretOf(object)?.key);
}
