import type { ActivityRecord, DetachedOperation } from "./activity-record.ts";
import { activityLimits, unlisted } from "./activity-state.ts";
import type { BusyCause, IdlenessRules, Usage } from "./idleness.ts";

/**
 * The record that several replicas keep together, after one of them has news: what is there, changed by what this replica
 * added and took away since the base. So what others wrote stays, and what others took away stays away, although this
 * replica may not know of it yet. Nothing that keeps a driver busy is lost to a limit: what finds no place counts under
 * {@link unlisted}.
 * @param there the record as it stands now; where it is gone, `mine` is all there is
 * @param base what `mine` grew from: what this replica restored, took in or brought to its last write that took effect;
 *   undefined where there was none, so that all of `mine` is new
 * @param mine what this replica knows now
 */
export function mergeActivity(
  there: ActivityRecord | undefined,
  base: ActivityRecord | undefined,
  mine: ActivityRecord,
): ActivityRecord {
  if (there === undefined) return mergeActivity(mine, mine, mine);
  const recordedAt = latest(there.recordedAt, mine.recordedAt);
  return {
    v: 1,
    lastActive: Math.max(mine.lastActive, there.lastActive),
    ...(recordedAt === undefined ? {} : { recordedAt }),
    streamingQueries: mergeQueries(there.streamingQueries, base?.streamingQueries ?? {}, mine.streamingQueries),
    detached: mergeDetached(there.detached, base?.detached ?? [], mine.detached),
    connectSessions: mergeSessions(there.connectSessions, base?.connectSessions ?? [], mine.connectSessions),
  };
}

function latest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.max(a, b);
}

type Counts = Readonly<Record<string, number>>;

/** Mine first: where there is no room, others' give way. */
function mergeQueries(there: Counts, base: Counts, mine: Counts): Counts {
  const merged = new Map<string, number>();
  for (const session of new Set([...Object.keys(mine), ...Object.keys(there)])) {
    const count = of(there, session) - of(base, session) + of(mine, session);
    if (count > 0) merged.set(session, count);
  }
  const named = [...merged.keys()].filter((session) => session !== unlisted);
  for (const session of named.slice(activityLimits.streamingSessions)) {
    // The greatest, not the sum: who knows it one by one writes it again, and it must not grow by that.
    merged.set(unlisted, Math.max(merged.get(session) ?? 0, merged.get(unlisted) ?? 0));
    merged.delete(session);
  }
  return Object.fromEntries(merged);
}

const of = (counts: Counts, session: string): number => (Object.hasOwn(counts, session) ? (counts[session] ?? 0) : 0);

/**
 * One that is gone, here or there, stays gone, unless somebody was attached to it on the other side since the base: then
 * whoever dropped it does not know of its last use.
 */
function mergeDetached(
  there: readonly DetachedOperation[],
  base: readonly DetachedOperation[],
  mine: readonly DetachedOperation[],
): readonly DetachedOperation[] {
  const had = byId(base);
  const isThere = byId(there);
  const isMine = byId(mine);
  const isNews = ({ operationId, lastAttached }: DetachedOperation) => {
    const before = had.get(operationId);
    return before === undefined || lastAttached > before.lastAttached;
  };
  const merged = byId(mine.filter((one) => isThere.has(one.operationId) || isNews(one)));
  const kept = there.filter((one) => isMine.has(one.operationId) || isNews(one));
  for (const operation of kept.toSorted((a, b) => b.lastAttached - a.lastAttached)) attach(merged, operation);
  const named = [...merged.values()].filter(({ operationId }) => operationId !== unlisted);
  for (const { operationId, lastAttached } of named.slice(activityLimits.operations)) {
    merged.delete(operationId);
    attach(merged, { operationId: unlisted, connectSession: "", lastAttached });
  }
  return [...merged.values()];
}

function byId(operations: readonly DetachedOperation[]): Map<string, DetachedOperation> {
  const found = new Map<string, DetachedOperation>();
  for (const operation of operations) attach(found, operation);
  return found;
}

function attach(operations: Map<string, DetachedOperation>, operation: DetachedOperation): void {
  const known = operations.get(operation.operationId);
  const lastAttached = Math.max(operation.lastAttached, known?.lastAttached ?? operation.lastAttached);
  operations.set(operation.operationId, { ...(known ?? operation), lastAttached });
}

/** Others' before mine, each in their order. Where there are too many, each keeps half and what the other leaves free. */
function mergeSessions(there: readonly string[], base: readonly string[], mine: readonly string[]): readonly string[] {
  const limit = activityLimits.connectSessions;
  const own = new Set(mine);
  const dropped = new Set(base);
  const others = [...new Set(there)].filter((session) => !own.has(session) && !dropped.has(session));
  const placesOfOthers = Math.min(others.length, Math.max(limit / 2, limit - own.size));
  return [...others.slice(others.length - placesOfOthers), ...[...own].slice(-Math.max(0, limit - placesOfOthers))];
}

/** What the way of a write may add before others see it: its own limit, and a few tries. ms */
const writeSlackMs = 10_000;

/**
 * A replica's own knowledge of a driver's use, widened by what all replicas recorded.
 *
 * Every replica writes at most every `unrecordedMs` while it sees use, counted from the last record that it knows of. So for
 * so long after a record was written another replica may have seen what is in no record yet: nothing is proved (`unproven`).
 * Once that time is over and no newer record came, the record is complete and `lastActive` is exact. It is not moved
 * ahead for the time in between: the mark of a drain is a record too, and would then count as use that ends the drain.
 *
 * A use whose record is still on its way is not known here. So a stop has to be ordered on the version of the record that
 * was judged, and who lets a call through to a driver that is draining for idleness has to record it without delay.
 * @param recorded the driver's record as this replica sees it now
 * @param now ms since the epoch
 * @param unrecordedMs see `flows/persist-activity.ts`
 */
export function withRecorded(
  usage: Usage,
  recorded: ActivityRecord | undefined,
  now: number,
  rules: IdlenessRules,
  unrecordedMs: number,
): Usage {
  if (recorded === undefined) return usage;
  const busy: BusyCause[] = [...usage.busy];
  const add = (cause: BusyCause, holds: boolean) => {
    if (holds && !busy.includes(cause)) busy.push(cause);
  };
  add(
    "detached",
    recorded.detached.some(({ lastAttached }) => now - lastAttached < rules.detachedGraceMs),
  );
  add("streaming_query", hasQueries(recorded.streamingQueries));
  const writtenAt = recorded.recordedAt ?? recorded.lastActive;
  add("unproven", now - writtenAt < unrecordedMs + writeSlackMs);
  return { busy, lastActive: Math.max(usage.lastActive, Math.min(now, recorded.lastActive)) };
}

function hasQueries(counts: Counts): boolean {
  for (const session in counts) if (of(counts, session) > 0) return true;
  return false;
}
