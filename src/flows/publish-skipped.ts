import type { Log } from "../kernel/log.ts";
import type { Skipped } from "../snapshots/resource.ts";

/** Says once of each driver that it cannot be offered, and why; again when that changed in between. */
export interface SkippedReport {
  /** These are all that cannot be offered. */
  all(skipped: readonly Skipped[]): void;
  /** Of these uids, only the skipped ones cannot be offered. */
  some(uids: readonly string[], skipped: readonly Skipped[]): void;
}

export function createSkippedReport(log: Log): SkippedReport {
  const reported = new Map<string, string>();
  const some = (uids: Iterable<string>, skipped: readonly Skipped[]): void => {
    const now = new Map(skipped.map(({ uid, why }) => [uid, why]));
    for (const uid of uids) if (!now.has(uid)) reported.delete(uid);
    for (const [uid, why] of now) {
      if (reported.get(uid) === why) continue;
      reported.set(uid, why);
      log.warn("a driver cannot be offered to Envoy", { driver_uid: uid, why });
    }
  };
  return { all: (skipped) => some([...reported.keys()], skipped), some };
}
