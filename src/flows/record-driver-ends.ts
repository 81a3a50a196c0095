import type { AuditSink } from "../decisions/audit.ts";
import { type DriverEvent, toDriverRecord } from "../decisions/driver-record.ts";
import { failureMessage } from "../drivers/failure-message.ts";
import type { Registry, RegistryChange } from "../drivers/registry.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";

export interface RecordDriverEndsOptions {
  readonly registry: Pick<Registry, "onChange" | "synced">;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Audits what is seen to end: `failed` when a start failed, `ended` when a driver is gone. A failed driver that was
 * there before our start was audited then. Returns the function that ends it.
 */
export function recordDriverEnds(options: RecordDriverEndsOptions): () => void {
  return options.registry.onChange((change) => {
    const event = eventOf(options, change);
    if (event === undefined) return;
    options.audit.write(toDriverRecord(event)).catch((error: unknown) => {
      options.log.error("the end of a driver could not be audited", { driver_uid: event.uid, error });
    });
  });
}

function eventOf({ registry, clock }: RecordDriverEndsOptions, change: RegistryChange): DriverEvent | undefined {
  const time = clock.now();
  if (change.kind === "remove") {
    const { end, before } = change;
    // One that ended while we were away: nobody knows its owner any more.
    const { owner, name } = before ?? { owner: "", name: "" };
    const { key, uid, cause: reason, summary: message } = end;
    return { time, action: "ended", reason, message, key, owner, name, uid };
  }
  if (change.kind === "synced" || change.driver.phase !== "failed" || change.before?.phase === "failed")
    return undefined;
  if (change.before === undefined && !registry.synced) return undefined;
  const { key, owner, name, uid, failure } = change.driver;
  const message = failure && failureMessage(failure);
  return { time, action: "failed", reason: "start_failed", message, key, owner, name, uid };
}
