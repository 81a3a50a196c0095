import type { DriverRef, RecordedState } from "../../drivers/runtime.ts";
import { GatewayError } from "../../kernel/errors.ts";
import { mergeActivity } from "../../sessions/activity-merge.ts";
import type { ApiCall } from "./api.ts";
import { pause } from "./backoff.ts";
import { activityText, drainingText, readActivity } from "./facts.ts";
import type { MainObject } from "./index-objects.ts";
import { objectPath } from "./kinds.ts";
import { annotation } from "./labels.ts";
import { lookAt } from "./look.ts";
import type { DriverResource, Stored } from "./objects.ts";
import { specOf } from "./remove.ts";
import { isStatus, leading } from "./term.ts";
import { type Entry, findMain, type World } from "./world.ts";

const maxAttempts = 6;
const conflictPauseMs = 30;

type Call = <T>(call: Omit<ApiCall, "signal">) => Promise<T>;

/**
 * Writes onto the driver's main object what must survive. What is there is merged with the difference between the base and
 * what this replica knows, anew in each attempt; a write counts only over the version that was read.
 * @throws ApiError; GatewayError NOT_READY where the drain was to be changed and this replica does not lead, and for an
 *   operator's resource whose driver was not ready yet: a change in the middle of the submission has kubeflow's operator
 *   submit once more, which fails, and with it the driver
 */
export async function record(world: World, ref: DriverRef, state: RecordedState): Promise<void> {
  const main = findMain(world, ref);
  const entry = main && world.entries.get(main.object.metadata.uid);
  if (main === undefined || entry?.end !== undefined) return;
  if (isBeingSubmitted(main, entry)) throw new GatewayError("NOT_READY", "the driver is still being submitted");
  const call = callOf(world, state);
  const { name, namespace = "" } = main.object.metadata;
  const path = objectPath(specOf(main.source), namespace, name);
  let { object } = main;
  for (let attempt = 1; ; attempt += 1) {
    const annotations = changesOf(object, state);
    if (Object.keys(annotations).length === 0) return;
    const { uid, resourceVersion } = object.metadata;
    try {
      const body = { metadata: { uid, resourceVersion, annotations } };
      take(world, main, await call<Stored<DriverResource>>({ method: "PATCH", path, body }));
      return;
    } catch (error) {
      if (isStatus(error, 404)) return;
      // 422 is what another object of that name makes of our UID.
      if (!isStatus(error, 409, 422) || attempt >= maxAttempts) throw error;
    }
    await pause(world.options.clock, conflictPauseMs * attempt * world.options.random(), world.over.signal);
    const present = await read(call, path);
    if (present?.metadata.uid !== uid) return;
    object = present;
  }
}

/** Before it was ready there is no use to record either. */
function isBeingSubmitted({ source }: MainObject, entry: Entry | undefined): boolean {
  const phase = entry?.driver?.phase;
  return source !== "pod" && source !== "discovered" && phase !== "ready" && phase !== "draining";
}

/** The drain is the leader's: such a write is refused, also in the middle, once its term has ended. */
function callOf(world: World, { draining }: RecordedState): Call {
  if (draining === "keep") {
    return async (call) => await world.options.api.call({ ...call, signal: world.over.signal });
  }
  const term = leading(world, "begin or end a drain");
  return async (call) => await term.call(call);
}

async function read(call: Call, path: string): Promise<Stored<DriverResource> | undefined> {
  try {
    return await call<Stored<DriverResource>>({ method: "GET", path });
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw error;
  }
}

/** What differs on the object from what shall be there; null takes an annotation away. */
function changesOf(
  object: Stored<DriverResource>,
  { activity, base, draining }: RecordedState,
): Readonly<Record<string, string | null>> {
  const present = object.metadata.annotations ?? {};
  const wanted = {
    [annotation.activity]: activityText(mergeActivity(readActivity(object).value, base, activity)),
    ...(draining === "keep" ? {} : { [annotation.draining]: draining === undefined ? null : drainingText(draining) }),
  };
  return Object.fromEntries(Object.entries(wanted).filter(([name, text]) => (present[name] ?? null) !== text));
}

/** Whoever waits for the write finds it reported, whenever the watch tells of it. */
function take(world: World, { source }: MainObject, written: Stored<DriverResource>): void {
  world.index.putOwn(source, written);
  lookAt(world, [written.metadata.uid]);
}
