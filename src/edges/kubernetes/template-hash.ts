import { sha256, stableJson } from "./hash.ts";
import type { KubernetesProfile } from "./options.ts";

/** Tells drivers that were made from another profile; how old they may become is not part of what they are made of. */
export function templateHash(profile: KubernetesProfile): string {
  const { maxTtlMs: _, ...made } = profile;
  return sha256(stableJson(made)).slice(0, 16);
}
