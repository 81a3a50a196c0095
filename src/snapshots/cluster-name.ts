import type { Driver } from "../drivers/driver.ts";
import { displayKey } from "../sessions/session-key.ts";

const wellFormed = /^driver\|[a-z0-9-]{1,63}\/[a-z0-9.-]{1,253}\|[A-Za-z0-9-]{1,64}$/;

/**
 * The name of a driver's cluster in Envoy. It holds the incarnation, so a request that was allowed for one incarnation
 * never reaches another one at the same address.
 */
export function driverClusterName(driver: Pick<Driver, "key" | "uid">): string {
  return `driver|${displayKey(driver.key)}|${driver.uid}`;
}

/** Whether this can be the name of a driver's cluster, of one that we know or not. */
export function isDriverClusterName(name: string): boolean {
  return wellFormed.test(name);
}
