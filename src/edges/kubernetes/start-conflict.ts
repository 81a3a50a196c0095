import { GatewayError } from "../../kernel/errors.ts";
import { pause } from "./backoff.ts";
import { nameOf, readFacts } from "./facts.ts";
import { label } from "./labels.ts";
import { lookAt } from "./look.ts";
import type { DriverResource, Stored } from "./objects.ts";
import { isDeleting, timeOf } from "./observe-pod.ts";
import { isProvedAtServer } from "./proof.ts";
import { readIfThere, removeMain } from "./remove.ts";
import type { StartPlan } from "./start-plan.ts";
import { type Term, TermOver } from "./term.ts";
import type { World } from "./world.ts";

/** Older than any order of a leader that is still at it. ms */
export const unsealedAgeMs = 60_000;
/** How long a predecessor may take to go before whoever waits is told to come again. ms */
const goneLimitMs = 60_000;
const askEveryMs = 250;

/**
 * The name is taken. Finds out by what, and makes room where that is ours to do.
 * @returns "there": it is the driver that was asked for; "gone": try again
 * @throws GatewayError DRIVER_FAILED where something is in the way, DRIVER_STARTING where it takes too long to go; ApiError
 */
export async function settleConflict(world: World, term: Term, plan: StartPlan): Promise<"there" | "gone"> {
  const { options, index } = world;
  const present = await readIfThere<DriverResource>(term, plan.path);
  if (present === undefined) return "gone";
  if (isDeleting(present)) return await untilGone(world, term, plan, present);
  if (await isProvedAtServer(term, options.sealKeys, present)) {
    index.putOwn(plan.profile.kind, present);
    lookAt(world, [present.metadata.uid]);
    const entry = world.entries.get(present.metadata.uid);
    // A failed or ended one is replaced in the next attempt.
    return entry?.failed === undefined && entry?.end === undefined ? "there" : "gone";
  }
  if (!mayRemove(world, plan, present)) {
    const what = `${plan.spec.kind} ${plan.namespace}/${plan.name}`;
    throw new GatewayError("DRIVER_FAILED", `an object that Gatehouse did not make is in the way: delete ${what}`);
  }
  options.log.warn("an object without a seal had a driver's name and is deleted", {
    driver: plan.name,
    driver_uid: present.metadata.uid,
  });
  await removeMain(world, term, { source: plan.profile.kind, object: present });
  return await untilGone(world, term, plan, present);
}

/**
 * What a killed leader left looks like what we make and is in nobody's use: this replica leads, and makes no such object at
 * this moment. A squatter who copies all that loses his object, not we our name. Anything else gets a minute.
 */
function mayRemove({ options }: World, plan: StartPlan, present: Stored<DriverResource>): boolean {
  const facts = readFacts(present, options.cluster).value;
  const ours = present.metadata.labels?.[label.installation] === options.installation;
  if (ours && facts !== undefined && nameOf(facts) === plan.name) return true;
  const age = options.clock.now() - (timeOf(present.metadata.creationTimestamp) ?? options.clock.now());
  return age > unsealedAgeMs;
}

async function untilGone(
  { options }: World,
  term: Term,
  plan: StartPlan,
  { metadata: { uid } }: Stored<DriverResource>,
): Promise<"gone"> {
  const limit = options.clock.now() + goneLimitMs;
  while (options.clock.now() < limit) {
    if ((await readIfThere(term, plan.path))?.metadata.uid !== uid) return "gone";
    await pause(options.clock, askEveryMs, term.signal);
    if (term.signal.aborted) throw new TermOver();
  }
  throw new GatewayError("DRIVER_STARTING", `the driver's predecessor is still ending after ${goneLimitMs / 1_000} s`, {
    retryAfterMs: 5_000,
  });
}
