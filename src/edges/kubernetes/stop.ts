import type { Draining } from "../../drivers/driver.ts";
import type { DriverRef } from "../../drivers/runtime.ts";
import { GatewayError } from "../../kernel/errors.ts";
import type { MainObject } from "./index-objects.ts";
import { lookAt } from "./look.ts";
import { removeWholly, unlessUsed } from "./remove.ts";
import { leading, TermOver } from "./term.ts";
import { findMain, type World } from "./world.ts";

/**
 * Ends this incarnation; resolves when nothing of it is left.
 * @throws GatewayError NOT_READY where this replica does not lead, or where the stop is for idleness and the driver's use
 *   was recorded anew meanwhile
 */
export async function stop(world: World, ref: DriverRef, why: Draining["reason"]): Promise<void> {
  const main = findMain(world, ref);
  if (main === undefined) return;
  const known = world.stopping.get(main.object.metadata.uid);
  if (known !== undefined) return await known;
  const stopping = remove(world, main, why);
  world.stopping.set(main.object.metadata.uid, stopping);
  try {
    await stopping;
  } finally {
    world.stopping.delete(main.object.metadata.uid);
  }
}

async function remove(world: World, main: MainObject, why: Draining["reason"]): Promise<void> {
  const term = leading(world, "stop drivers");
  const { uid, namespace = "" } = main.object.metadata;
  const entry = world.entries.get(uid);
  if (!world.watches.isReadable(namespace, main.source)) {
    throw new GatewayError("NOT_READY", `what happens in the namespace "${namespace}" cannot be read now; try again`);
  }
  // Before the request: the watch may tell of the deletion before the answer is here.
  if (entry !== undefined) entry.stopOrdered = why;
  try {
    await removeWholly(world, term, main, why === "idle" ? unlessUsed(main.object) : undefined);
  } catch (cause) {
    if (cause instanceof TermOver) {
      throw new GatewayError("NOT_READY", "another replica leads by now; try again", { cause, retryAfterMs: 1_000 });
    }
    throw cause;
  } finally {
    if (world.index.main(uid) !== undefined && entry?.end === undefined && entry !== undefined) {
      entry.stopOrdered = undefined;
    }
    lookAt(world, [uid]);
  }
}
