import { sessionKeyId } from "../sessions/session-key.ts";
import type { Driver } from "./driver.ts";

/**
 * A driver that can be routed to. What was recorded about its use is left out: it changes often and never changes a
 * route, so it must not make a new generation.
 */
export type CatalogDriver = Omit<Driver, "recorded" | "address"> & {
  readonly address: NonNullable<Driver["address"]>;
};

/** The immutable view of all routable drivers at one generation. Equal generations of one registry are the same object. */
export interface Catalog {
  /** Grows by at least one with every change that concerns routing; 0 is the empty catalog before any driver. */
  readonly generation: number;
  /** Drivers that are ready or draining, sorted by session key, then uid. A key has two while one replaces the other. */
  readonly drivers: readonly CatalogDriver[];
}

/** Whether calls can be sent to it: it listens, and has not failed. */
export function isRoutable(driver: Driver): driver is Driver & CatalogDriver {
  return driver.address !== undefined && (driver.phase === "ready" || driver.phase === "draining");
}

/** The routable ones among `drivers`, in the catalog's order. */
export function buildCatalog(generation: number, drivers: Iterable<Driver>): Catalog {
  const keyed: { readonly id: string; readonly driver: CatalogDriver }[] = [];
  for (const driver of drivers) {
    if (isRoutable(driver)) keyed.push({ id: sessionKeyId(driver.key), driver });
  }
  keyed.sort((a, b) => compare(a.id, b.id) || compare(a.driver.uid, b.driver.uid));
  return { generation, drivers: keyed.map((entry) => entry.driver) };
}

// By code unit, not by locale: the order must be the same on every machine.
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
