import { driverName } from "../drivers/driver-name.ts";
import { createRegistry, type Registry } from "../drivers/registry.ts";
import type { DriverRuntime } from "../drivers/runtime.ts";
import { createDriverUsage } from "../flows/driver-usage.ts";
import { createPersistActivity } from "../flows/persist-activity.ts";
import { createProvisioner, type Provisioner } from "../flows/provision.ts";
import { createReaper, type Reaper } from "../flows/reap.ts";
import { createRecordActivity, type RecordActivity } from "../flows/record-activity.ts";
import { recordDriverEnds } from "../flows/record-driver-ends.ts";
import { createActivity } from "../sessions/activity.ts";
import type { Usage } from "../sessions/idleness.ts";
import type { Kernel } from "./door.ts";
import { holdLimits, lifetimesOf, profileOf, sha256Hex } from "./settings.ts";

/** The drivers' side: what is known of them, what says that they are used, what starts and ends them. */
export interface Life {
  readonly registry: Registry;
  /** What is known of a driver's use now, by all replicas. */
  usage(uid: string): Usage | undefined;
  readonly recordActivity: RecordActivity;
  readonly provisioner: Provisioner;
  readonly reaper: Reaper;
  /** What is called when a driver that somebody waits for takes calls. Set once, by the publisher's wiring. */
  publishNow: () => void;
  /** Writes what must outlive us, then lets go. Drivers run on. */
  close(): Promise<void>;
}

export function createLife(kernel: Kernel, runtime: DriverRuntime): Life {
  const { config, clock } = kernel;
  const intervalMs = config.activity.access_log_interval_seconds * 1000;
  const lifetimes = lifetimesOf(config);
  const registry = createRegistry(kernel);
  const stopRecordingEnds = recordDriverEnds({ ...kernel, registry, runtime });
  const rules = { intervalMs, detachedGraceMs: config.activity.detached_grace_minutes * 60_000 };
  const activity = createActivity(rules, clock.now());
  const idleTimeoutMs = (profile: string): number => lifetimes(profile).idleTimeoutMs;
  const maxWritesPerSecond = config.activity.max_writes_per_second;
  const writer = createPersistActivity({ ...kernel, activity, registry, runtime, idleTimeoutMs, maxWritesPerSecond });
  const recordActivity = createRecordActivity({ activity, registry, runtime, writer, clock, idleTimeoutMs });
  const usageAt = createDriverUsage({ activity, registry, runtime, rules, idleTimeoutMs });
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
    usage: usageAt,
    writer,
    intervalMs,
    passEveryMs,
    pause: () => new Promise((resolve) => void setImmediate(resolve)),
    profiles: lifetimes,
  });
  const life: Life = {
    registry,
    usage: (uid) => usageAt(uid, clock.now()),
    recordActivity,
    provisioner,
    reaper,
    publishNow: () => undefined,
    async close() {
      reaper.close();
      provisioner.close();
      recordActivity.close();
      await writer.close();
      // A runtime of our own may end drivers when it is closed, and tells of it: that is audited to the last.
      if (runtime.shared) stopRecordingEnds();
    },
  };
  return life;
}
