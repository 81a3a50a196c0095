import type { Registry } from "../drivers/registry.ts";
import type { DriverRuntime } from "../drivers/runtime.ts";
import type { Activity } from "../sessions/activity.ts";
import { withRecorded } from "../sessions/activity-merge.ts";
import type { IdlenessRules, Usage } from "../sessions/idleness.ts";
import { soonGapMs, unrecordedMs } from "./persist-activity.ts";

export interface DriverUsageOptions {
  readonly activity: Pick<Activity, "usage">;
  readonly registry: Pick<Registry, "byUid">;
  readonly runtime: Pick<DriverRuntime, "shared">;
  readonly rules: IdlenessRules;
  readonly idleTimeoutMs: (profile: string) => number;
}

/**
 * The use of a driver as all replicas know it: what this one saw and, where others record too, what they wrote. Undefined
 * for a driver that is not tracked. @throws for a profile that is not configured
 */
export function createDriverUsage(options: DriverUsageOptions): (uid: string, now: number) => Usage | undefined {
  const { activity, registry, runtime, rules, idleTimeoutMs } = options;
  return (uid, now) => {
    const own = activity.usage(uid, now);
    const driver = runtime.shared ? registry.byUid(uid) : undefined;
    if (own === undefined || driver?.recorded === undefined) return own;
    // What a replica sees of a driver that is marked as draining, or has not recorded then, it records at once.
    const unrecorded = driver.draining === undefined ? unrecordedMs(idleTimeoutMs(driver.profile)) : soonGapMs;
    return withRecorded(own, driver.recorded, now, rules, unrecorded);
  };
}
