import type { AuditSink } from "../decisions/audit.ts";
import { toDriverRecord } from "../decisions/driver-record.ts";
import type { Draining, Driver } from "../drivers/driver.ts";
import type { Registry } from "../drivers/registry.ts";
import type { DriverRuntime } from "../drivers/runtime.ts";
import type { Clock } from "../kernel/clock.ts";
import { GatewayError } from "../kernel/errors.ts";
import type { Log } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { ActivityWriter } from "./persist-activity.ts";

interface StepDeps {
  readonly registry: Pick<Registry, "byUid" | "markEnding" | "unmarkEnding">;
  readonly runtime: Pick<DriverRuntime, "stop" | "mayStop" | "shared">;
  readonly writer: Pick<ActivityWriter, "setDraining">;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Marks the driver as draining: audited first, then recorded on the driver, so that a restart goes on from here. Does
 * nothing, like every step, where this replica may not stop drivers (any more): whoever may goes on.
 */
export async function beginDrain(deps: StepDeps, driver: Driver, reason: Draining["reason"]): Promise<void> {
  const since = deps.clock.now();
  if (!deps.runtime.mayStop()) return;
  await audited(deps, driver, "drain", reason);
  if (!deps.runtime.mayStop()) return;
  await deps.writer.setDraining(driver.uid, { reason, since });
}

/** Takes the mark back: the driver is used. */
export async function endDrain({ runtime, writer }: StepDeps, driver: Driver): Promise<void> {
  if (runtime.mayStop()) await writer.setDraining(driver.uid, undefined);
}

/**
 * Stops the driver. From the call on nobody new is sent there; the audit is written before the order. When either
 * fails, the driver serves on. @throws GatewayError NOT_READY where this replica may not stop drivers, or where the driver
 * was idle and another replica has recorded a use of it meanwhile
 */
export async function endDriver(
  deps: StepDeps,
  driver: Driver,
  reason: Draining["reason"],
  decisionId?: string,
): Promise<void> {
  const { registry, runtime, metrics } = deps;
  if (!runtime.mayStop()) throw notNow();
  registry.markEnding(driver.uid);
  try {
    await audited(deps, driver, "stop", reason, decisionId);
    if (!runtime.mayStop()) throw notNow();
    if (reason === "idle" && runtime.shared && isUsedSince(deps, driver)) throw usedMeanwhile();
    if (reason === "deleted") await rememberDeletion(deps, driver);
    await runtime.stop({ name: driver.name, uid: driver.uid }, reason);
    metrics.count("gatehouse_reaps_total", { reason });
  } catch (thrown) {
    registry.unmarkEnding(driver.uid);
    throw thrown;
  }
}

const notNow = (): GatewayError =>
  new GatewayError("NOT_READY", "this replica does not end drivers now; try again", { retryAfterMs: 5_000 });

const usedMeanwhile = (): GatewayError =>
  new GatewayError("NOT_READY", "another replica has recorded a use of the driver since it was judged");

/** Whether the record that was judged is not the one that is known now; when it was written does not matter. */
function isUsedSince({ registry }: StepDeps, { uid, recorded }: Driver): boolean {
  const use = (record: Driver["recorded"]) => JSON.stringify({ ...record, recordedAt: undefined });
  return use(registry.byUid(uid)?.recorded) !== use(recorded);
}

/** So that a deletion is carried through after a restart. It must not fail because of that. */
async function rememberDeletion(deps: StepDeps, driver: Driver): Promise<void> {
  try {
    await deps.writer.setDraining(driver.uid, { reason: "deleted", since: deps.clock.now() });
  } catch (error) {
    deps.log.warn("a deletion could not be recorded on its driver", { driver_uid: driver.uid, error });
  }
}

function audited(
  { audit, clock }: StepDeps,
  driver: Driver,
  action: "drain" | "stop",
  reason: Draining["reason"],
  decisionId?: string,
): Promise<void> {
  const { key, owner, name, uid } = driver;
  return audit.write(toDriverRecord({ time: clock.now(), action, reason, key, owner, name, uid, decisionId }));
}
