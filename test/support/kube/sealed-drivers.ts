import type { StartRequest } from "../../../src/drivers/runtime.ts";
import { kinds, secrets } from "../../../src/edges/kubernetes/kinds.ts";
import { annotation } from "../../../src/edges/kubernetes/labels.ts";
import type { DriverResource, Stored } from "../../../src/edges/kubernetes/objects.ts";
import type { KubernetesRuntimeOptions } from "../../../src/edges/kubernetes/options.ts";
import { seal } from "../../../src/edges/kubernetes/seal.ts";
import { planStart } from "../../../src/edges/kubernetes/start-plan.ts";
import type { KubeAdmin } from "./access.ts";

/** What a replica leaves that started this driver: its main object, sealed, and its Secret. Written by the admin. */
export async function sealedDriver(
  admin: KubeAdmin,
  options: Omit<KubernetesRuntimeOptions, "api" | "replica">,
  request: StartRequest,
): Promise<Stored<DriverResource>> {
  // What a plan is made of needs neither connection nor name.
  const plan = planStart(options as KubernetesRuntimeOptions, request);
  const spec = kinds[plan.profile.kind];
  const main = await admin.create<DriverResource>(spec, plan.resource);
  const secret = plan.secret(main);
  if (secret !== undefined) await admin.create(secrets, secret);
  const annotations = { [annotation.seal]: seal(options.sealKeys, main.metadata.uid, plan.factsText) };
  return await admin.patch<DriverResource>(spec, plan.namespace, plan.name, { metadata: { annotations } });
}
