import { annotation } from "./labels.ts";
import type { DriverResource, Stored } from "./objects.ts";
import type { KubernetesProfile } from "./options.ts";
import { templateHash } from "./template-hash.ts";

/** Tells which drivers were made from another template than their profile gives now. Nothing is done about it: they serve. */
export interface Drift {
  /** @returns whether that is news */
  note(main: Stored<DriverResource>, profile: string): boolean;
  forget(uid: string): void;
  /** Drivers that differ. */
  readonly count: number;
}

export function createDrift(profiles: Readonly<Record<string, KubernetesProfile>>): Drift {
  const hashes = new Map(Object.entries(profiles).map(([name, profile]) => [name, templateHash(profile)]));
  const drifted = new Set<string>();
  return {
    note({ metadata: { uid, annotations } }, profile) {
      const made = annotations?.[annotation.template];
      const now = hashes.get(profile);
      if (made === undefined || now === undefined || made === now || drifted.has(uid)) return false;
      drifted.add(uid);
      return true;
    },
    forget: (uid) => void drifted.delete(uid),
    get count() {
      return drifted.size;
    },
  };
}
