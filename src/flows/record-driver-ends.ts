import type { AuditSink } from "../decisions/audit.ts";
import { type DriverEvent, toDriverRecord } from "../decisions/driver-record.ts";
import { failureMessage } from "../drivers/failure-message.ts";
import type { Registry, RegistryChange } from "../drivers/registry.ts";
import type { DriverRuntime } from "../drivers/runtime.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";

export interface RecordDriverEndsOptions {
  readonly registry: Pick<Registry, "onChange" | "synced">;
  readonly runtime: Pick<DriverRuntime, "mayStop" | "isLed" | "handedOver" | "shared">;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly log: Log;
}

interface State extends RecordDriverEndsOptions {
  /** Events that another replica should have written, oldest first. */
  readonly kept: DriverEvent[];
  cancelNext: (() => void) | undefined;
}

/** How often it is asked whether kept events are ours to write. ms */
const lookEveryMs = 5_000;

/** Far longer than a leader that died is missed. ms */
const keepMs = 120_000;

/** A leader that leaves in order has told what it saw to its last moment; its watch may have been behind by less. ms */
const unseenMs = 2_000;

/** Beyond it the oldest is written, whoever leads: twice is better than never. */
const maxKept = 1_000;

/**
 * Audits what is seen to end: `failed` when a start failed, `ended` when a driver is gone. A failed driver that was
 * there before our start was audited then.
 *
 * Every replica sees every end; the one that may stop drivers writes it. The others keep it: who comes to lead within two
 * minutes writes what it kept, so nothing is lost when the leader dies; what the old leader had written is then there
 * twice. Where the old leader left in order, what that one has told is left out. While nobody is known to lead, nothing kept is dropped.
 * @returns the function that ends it; what is kept is written then if nobody is known to lead
 */
export function recordDriverEnds(options: RecordDriverEndsOptions): () => void {
  const state: State = { ...options, kept: [], cancelNext: undefined };
  const stopListening = options.registry.onChange((change) => {
    const event = eventOf(options, change);
    if (event === undefined) return;
    if (!options.runtime.shared || options.runtime.mayStop()) write(options, event);
    else keep(state, event);
  });
  return () => {
    stopListening();
    state.cancelNext?.();
    if (options.runtime.mayStop() || !options.runtime.isLed()) writeKept(state);
  };
}

function keep(state: State, event: DriverEvent): void {
  state.kept.push(event);
  if (state.kept.length > maxKept) for (const oldest of state.kept.splice(0, 1)) write(state, oldest);
  state.cancelNext ??= state.clock.after(lookEveryMs, () => look(state));
}

function look(state: State): void {
  const { runtime, clock, kept } = state;
  if (runtime.mayStop()) writeKept(state);
  else if (runtime.isLed()) {
    const young = kept.findIndex((event) => clock.now() - event.time < keepMs);
    kept.splice(0, young < 0 ? kept.length : young);
  }
  state.cancelNext = kept.length === 0 ? undefined : clock.after(lookEveryMs, () => look(state));
}

function writeKept(state: State): void {
  const { from, until } = state.runtime.handedOver() ?? { from: 0, until: 0 };
  const isTold = ({ time }: DriverEvent) => time >= from && time < until - unseenMs;
  for (const event of state.kept.splice(0)) if (!isTold(event)) write(state, event);
}

function write({ audit, log }: RecordDriverEndsOptions, event: DriverEvent): void {
  audit.write(toDriverRecord(event)).catch((error: unknown) => {
    log.error("the end of a driver could not be audited", { driver_uid: event.uid, error });
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
