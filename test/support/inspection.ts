import { createInspect, type InspectDeps } from "../../src/flows/inspect.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";

/** The real inspection, with an audit that takes everything and sessions that all belong to their drivers, unless told otherwise. */
export const inspectWith = (changes: Partial<InspectDeps>): ReturnType<typeof createInspect> =>
  createInspect({
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
    audit: { write: () => Promise.resolve() },
    onAuditFailure: "deny",
    auditTimeoutMs: 5000,
    maxMessageBytes: 1024 * 1024,
    connectSessionBelongsElsewhere: () => false,
    activity: { message: () => undefined, refused: () => undefined },
    ...changes,
  });
