import { collectionPath, secrets } from "./kinds.ts";
import { annotation } from "./labels.ts";
import { lookAt } from "./look.ts";
import type { DriverResource, Secret, Stored } from "./objects.ts";
import { readIfThere, removeMain } from "./remove.ts";
import { seal } from "./seal.ts";
import type { StartPlan } from "./start-plan.ts";
import { isStatus, type Term, TermOver } from "./term.ts";
import type { World } from "./world.ts";

const maxSealAttempts = 8;

/**
 * Creates the main object, then its Secret, then seals it: only then it is a driver. What cannot be completed is taken back.
 * @returns false where the name is taken @throws ApiError, TermOver
 */
export async function createDriver(world: World, term: Term, plan: StartPlan): Promise<boolean> {
  const { options, index } = world;
  const created = await create(term, plan);
  if (created === undefined) return false;
  const { uid } = created.metadata;
  try {
    const body = plan.secret(created);
    const path = collectionPath(secrets, plan.namespace);
    const secret = body && (await term.call<Stored<Secret>>({ method: "POST", path, body }));
    const sealed = await sealObject(world, term, plan, created);
    if (secret !== undefined) index.putOwn("secret", secret);
    index.putOwn(plan.profile.kind, sealed);
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

async function sealObject(
  { options }: World,
  term: Term,
  plan: StartPlan,
  created: Stored<DriverResource>,
): Promise<Stored<DriverResource>> {
  const { uid } = created.metadata;
  const annotations = { [annotation.seal]: seal(options.sealKeys, uid, plan.factsText) };
  let { resourceVersion } = created.metadata;
  for (let attempt = 1; ; attempt += 1) {
    const body = { metadata: { uid, resourceVersion, annotations } };
    try {
      return await term.call<Stored<DriverResource>>({ method: "PATCH", path: plan.path, body });
    } catch (error) {
      // An operator, the scheduler or kubelet was faster. What the seal is about has to be as it was.
      if (!isStatus(error, 409) || attempt >= maxSealAttempts) throw error;
      const present = await readIfThere<DriverResource>(term, plan.path);
      const same = present?.metadata.uid === uid && present.metadata.annotations?.[annotation.facts] === plan.factsText;
      if (present === undefined || !same) throw error;
      ({ resourceVersion } = present.metadata);
    }
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
