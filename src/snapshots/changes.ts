import { type CatalogDriver, isRoutable } from "../drivers/catalog.ts";
import type { Driver } from "../drivers/driver.ts";
import { driverResources, faultOf } from "./driver-clusters.ts";
import { type Message, type Skipped, type TypeUrl, typeUrls } from "./resource.ts";
import type { SnapshotSettings } from "./settings.ts";

/** What some drivers' changes make of Envoy's resources; undefined: that one is to go. */
export interface ResourceChanges {
  readonly resources: Readonly<Partial<Record<TypeUrl, ReadonlyMap<string, Message | undefined>>>>;
  /** Of the drivers that were looked at, those that cannot be offered. */
  readonly skipped: readonly Skipped[];
}

/**
 * Which drivers' resources Envoy is offered, kept by what changes: each step costs what it is about, and after any
 * steps the offer is that of `buildSnapshot` with the drivers as they are then. A cluster and its endpoints come and go
 * together, so nothing that is made here needs a look at the whole.
 */
export interface DriverOffers {
  /** These are all that is offered now. */
  reset(drivers: Iterable<CatalogDriver>): void;
  /** The drivers of these uids are now as `find` says; undefined: gone. */
  change(uids: Iterable<string>, find: (uid: string) => Driver | undefined): ResourceChanges;
}

export function createDriverOffers(settings: SnapshotSettings): DriverOffers {
  /** Names of clusters by uid. */
  let offered = new Map<string, string>();
  return {
    reset(drivers) {
      offered = new Map();
      for (const driver of drivers) {
        if (faultOf(driver) === undefined) offered.set(driver.uid, driverResources(driver, settings).name);
      }
    },
    change(uids, find) {
      const clusters = new Map<string, Message | undefined>();
      const endpoints = new Map<string, Message | undefined>();
      const skipped: Skipped[] = [];
      for (const uid of uids) {
        const driver = find(uid);
        const routable = driver !== undefined && isRoutable(driver) ? driver : undefined;
        const why = routable && faultOf(routable);
        if (why !== undefined) skipped.push({ uid, why });
        const made = routable === undefined || why !== undefined ? undefined : driverResources(routable, settings);
        const before = offered.get(uid);
        if (before !== undefined && before !== made?.name) {
          offered.delete(uid);
          clusters.set(before, undefined);
          endpoints.set(before, undefined);
        }
        if (made === undefined) continue;
        offered.set(uid, made.name);
        clusters.set(made.name, made.cluster);
        endpoints.set(made.name, made.endpoints);
      }
      return { resources: { [typeUrls.cluster]: clusters, [typeUrls.endpoints]: endpoints }, skipped };
    },
  };
}
