import { collectionPath, secrets } from "./kinds.ts";
import { lookAt } from "./look.ts";
import type { DriverResource, Secret, Stored } from "./objects.ts";
import { removeMain } from "./remove.ts";
import type { StartPlan } from "./start-plan.ts";
import { isStatus, type Term, TermOver } from "./term.ts";
import type { World } from "./world.ts";

/**
 * Creates the main object, then its Secret with token and seal: only then it is a driver. What cannot be completed is
 * taken back.
 * @returns false where the name is taken @throws ApiError, TermOver
 */
export async function createDriver(world: World, term: Term, plan: StartPlan): Promise<boolean> {
  const { options, index } = world;
  const created = await create(term, plan);
  if (created === undefined) return false;
  const { uid } = created.metadata;
  try {
    const path = collectionPath(secrets, plan.namespace);
    const secret = await term.call<Stored<Secret>>({ method: "POST", path, body: plan.secret(created) });
    index.putOwn("secret", secret);
    index.putOwn(plan.profile.kind, created);
  } catch (error) {
    if (!(error instanceof TermOver)) await takeBack(world, term, plan, created);
    throw error;
  }
  options.log.info("starting a driver", { driver: plan.name, driver_uid: uid, profile: plan.facts.profile });
  lookAt(world, [uid]);
  return true;
}

async function create(term: Term, { collection, resource }: StartPlan): Promise<Stored<DriverResource> | undefined> {
  try {
    return await term.call<Stored<DriverResource>>({ method: "POST", path: collection, body: resource });
  } catch (error) {
    if (isStatus(error, 409)) return undefined;
    throw error;
  }
}

/** What stays because this fails too, is deleted a minute later: it has no seal. */
async function takeBack(world: World, term: Term, plan: StartPlan, object: Stored<DriverResource>): Promise<void> {
  try {
    await removeMain(world, term, { source: plan.profile.kind, object });
  } catch (error) {
    world.options.log.warn("a driver that could not be started is left for later", {
      driver: plan.name,
      driver_uid: object.metadata.uid,
      error,
    });
  }
}
