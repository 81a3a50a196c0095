import type { Driver } from "../drivers/driver.ts";
import type { Registry } from "../drivers/registry.ts";
import type { DriverRuntime } from "../drivers/runtime.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Activity, StreamReport } from "../sessions/activity.ts";
import type { SparkCall } from "../spark/spark-call.ts";
import { type ActivityWriter, unrecordedMs } from "./persist-activity.ts";

export interface RecordActivityOptions {
  readonly activity: Activity;
  readonly registry: Registry;
  readonly runtime: Pick<DriverRuntime, "shared">;
  readonly writer: Pick<ActivityWriter, "changed">;
  readonly clock: Clock;
  /** The profile's idle timeout: how much of a driver's use may be missing from its record depends on it. */
  readonly idleTimeoutMs: (profile: string) => number;
}

/** Takes every sign of use, stamps it with our time, and sees to it that it is recorded as soon as it must be. */
export interface RecordActivity {
  /** A call was let through to that driver. */
  called(uid: string): void;
  /**
   * The first message of a call, before it is forwarded.
   * @returns a promise where the message may be forwarded only once it resolves; it rejects with GatewayError
   *   RECORD_UNAVAILABLE, and then the message must not be forwarded
   */
  message(uid: string, decisionId: string, call: SparkCall): Promise<void> | undefined;
  /** The message that was noted with this call (the same object) is not forwarded, for whatever reason. */
  refused(uid: string, call: SparkCall): void;
  /** An access-log entry. */
  stream(report: Omit<StreamReport, "at">): void;
  /** Access-log entries may have been lost until now. */
  accessLogGap(): void;
  keepalive(uid: string): void;
  /** Takes no more notice of drivers that come and go. */
  close(): void;
}

export function createRecordActivity(options: RecordActivityOptions): RecordActivity {
  const { activity, registry, writer, clock } = options;
  const used = (uid: string) => void writer.changed(uid, isJudged(options, uid) ? "soon" : "later");
  for (const driver of registry.all()) follow(options, driver, undefined);
  const close = registry.onChange((change) => {
    if (change.kind === "upsert") follow(options, change.driver, change.before);
    else if (change.kind === "remove") activity.forget(change.end.uid);
    // Entries about drivers that were not listed yet were dropped.
    else activity.accessLogGap(clock.now());
  });
  return {
    called(uid) {
      activity.called(uid, clock.now());
      used(uid);
    },
    message: (uid, decisionId, call) => message(options, uid, decisionId, call),
    refused(uid, call) {
      activity.messageRefused(call);
      void writer.changed(uid, "soon");
    },
    stream(report) {
      activity.stream({ ...report, at: clock.now() });
      used(report.uid);
    },
    accessLogGap: () => activity.accessLogGap(clock.now()),
    keepalive(uid) {
      activity.keepalive(uid, clock.now());
      used(uid);
    },
    close,
  };
}

/**
 * Whether another replica may be about to end this driver, and learns only from the record that it is used. It waits two
 * intervals after the drain, so a use must be recorded faster than "later" does.
 */
function isJudged({ registry, runtime }: RecordActivityOptions, uid: string): boolean {
  return runtime.shared && registry.byUid(uid)?.draining !== undefined;
}

/** A driver's life before its first use counts from when it was made, and anew from when it became ready. */
function follow(options: RecordActivityOptions, driver: Driver, before: Driver | undefined): void {
  const { activity, clock } = options;
  if (before === undefined) {
    activity.track(driver.uid, driver.createdAt);
    if (driver.recorded === undefined) return;
    const restored = { at: clock.now(), unrecordedMs: unrecordedMs(options.idleTimeoutMs(driver.profile)) };
    activity.restore(driver.uid, driver.recorded, restored);
  } else if (before.phase === "starting" && driver.phase === "ready") {
    activity.called(driver.uid, clock.now());
  }
  if (before !== undefined && driver.draining !== undefined && driver.draining.since !== before.draining?.since) {
    contest(options, driver);
  }
}

/** The leader has marked the driver: what we know and it does not must be on the record before it goes on. */
function contest({ activity, runtime, writer, clock }: RecordActivityOptions, { uid, recorded }: Driver): void {
  const usage = runtime.shared ? activity.usage(uid, clock.now()) : undefined;
  if (usage === undefined) return;
  const busy = usage.busy.some((cause) => cause !== "unproven");
  if (busy || usage.lastActive > (recorded?.lastActive ?? 0)) void writer.changed(uid, "soon");
}

function message(
  options: RecordActivityOptions,
  uid: string,
  decisionId: string,
  call: SparkCall,
): Promise<void> | undefined {
  const { activity, registry, writer, clock } = options;
  const urgency = activity.message(uid, decisionId, call, clock.now());
  for (const session of [call.connectSession, call.newConnectSession]) {
    if (session !== undefined) registry.noteConnectSession(uid, session);
  }
  return writer.changed(uid, urgency === "later" && isJudged(options, uid) ? "soon" : urgency);
}
