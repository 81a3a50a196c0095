import { driverName } from "../drivers/driver-name.ts";
import { createRegistry, type Registry } from "../drivers/registry.ts";
import type { DriverRuntime } from "../drivers/runtime.ts";
import { createPersistActivity } from "../flows/persist-activity.ts";
import { createProvisioner, type Provisioner } from "../flows/provision.ts";
import { createReaper, type Reaper } from "../flows/reap.ts";
import { createRecordActivity, type RecordActivity } from "../flows/record-activity.ts";
import { recordDriverEnds } from "../flows/record-driver-ends.ts";
import { type Activity, createActivity } from "../sessions/activity.ts";
import type { Kernel } from "./door.ts";
import { holdLimits, lifetimesOf, profileOf, sha256Hex } from "./settings.ts";

/** The drivers' side: what is known of them, what says that they are used, what starts and ends them. */
export interface Life {
  readonly registry: Registry;
  readonly activity: Activity;
  readonly recordActivity: RecordActivity;
  readonly provisioner: Provisioner;
  readonly reaper: Reaper;
  /** What is called when a driver that somebody waits for takes calls. Set once, by the publisher's wiring. */
  publishNow: () => void;
  /** Writes what must outlive us, then lets go. Drivers run on. */
  close(): Promise<void>;
}

export function createLife(kernel: Kernel, runtime: DriverRuntime): Life {
  const { config, clock, log } = kernel;
  const intervalMs = config.activity.access_log_interval_seconds * 1000;
  const lifetimes = lifetimesOf(config);
  const registry = createRegistry(kernel);
  // For as long as the runtime tells of ends: it may itself end drivers when it is closed.
  recordDriverEnds({ ...kernel, registry });
  const activity = createActivity(
    { intervalMs, detachedGraceMs: config.activity.detached_grace_minutes * 60_000 },
    clock.now(),
  );
  const idleTimeoutMs = (profile: string): number => lifetimes(profile).idleTimeoutMs;
  const writer = createPersistActivity({ activity, registry, runtime, clock, log, idleTimeoutMs });
  const recordActivity = createRecordActivity({ activity, registry, writer, clock, idleTimeoutMs });
  const provisioner = createProvisioner({
    ...kernel,
    runtime,
    registry,
    limits: holdLimits(config),
    onDemand: config.on_demand.enabled,
    sharedWith: (profile) => profileOf(config, profile).shared_with_groups,
    nameOf: (key) => driverName(key, sha256Hex),
    publishNow: () => life.publishNow(),
  });
  const passEveryMs = config.activity.reap_interval_seconds * 1000;
  const reaper = createReaper({
    ...kernel,
    registry,
    runtime,
    activity,
    writer,
    intervalMs,
    passEveryMs,
    profiles: lifetimes,
  });
  const life: Life = {
    registry,
    activity,
    recordActivity,
    provisioner,
    reaper,
    publishNow: () => undefined,
    async close() {
      reaper.close();
      provisioner.close();
      recordActivity.close();
      await writer.close();
    },
  };
  return life;
}
