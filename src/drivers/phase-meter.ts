import type { Clock } from "../kernel/clock.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Driver, DriverPhase } from "./driver.ts";

/** Keeps the gauge of drivers by phase and the time that starts take. Told of every change; undefined is "not there". */
export type PhaseMeter = (before: Driver | undefined, after: Driver | undefined) => void;

export function createPhaseMeter(options: { readonly clock: Clock; readonly metrics: Metrics }): PhaseMeter {
  const counts = new Map<DriverPhase, number>();
  const add = (phase: DriverPhase | undefined, by: number) => {
    if (phase === undefined) return;
    const count = (counts.get(phase) ?? 0) + by;
    counts.set(phase, count);
    options.metrics.set("gatehouse_drivers", { phase }, count);
  };
  return (before, after) => {
    if (before?.phase === after?.phase) return;
    add(before?.phase, -1);
    add(after?.phase, 1);
    if (before?.phase !== "starting") return;
    const took = Math.max(0, options.clock.now() - before.createdAt) / 1_000;
    const outcome = after?.phase === "ready" ? "ready" : "failed";
    options.metrics.observe("gatehouse_driver_start_seconds", { outcome }, took);
  };
}
