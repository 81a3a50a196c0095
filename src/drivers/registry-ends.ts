import { type SessionKey, sessionKeyId } from "../sessions/session-key.ts";
import type { DriverEnd } from "./driver.ts";

/** What stays of drivers that are gone, bounded by count: the key whose driver ended longest ago is forgotten first. */
export interface DriverEnds {
  remember(end: DriverEnd, connectSessions: Iterable<string>): void;
  /** The remembered ends of that key, newest last. */
  of(key: SessionKey): readonly DriverEnd[];
  /** The uid of the remembered driver of that key on which this Connect session lived. */
  withConnectSession(key: SessionKey, connectSession: string): string | undefined;
}

interface Ended {
  readonly end: DriverEnd;
  readonly connectSessions: ReadonlySet<string>;
}

/** Ends of one key that are kept: one key that fails again and again must not push out all others. */
const maxEndsPerKey = 8;

export function createDriverEnds(maxKeys: number): DriverEnds {
  const byKey = new Map<string, readonly Ended[]>();
  return {
    remember(end, connectSessions) {
      const id = sessionKeyId(end.key);
      const others = (byKey.get(id) ?? []).filter((ended) => ended.end.uid !== end.uid);
      byKey.delete(id);
      byKey.set(id, [...others, { end, connectSessions: new Set(connectSessions) }].slice(-maxEndsPerKey));
      for (const oldest of byKey.keys()) {
        if (byKey.size <= maxKeys) break;
        byKey.delete(oldest);
      }
    },
    of: (key) => (byKey.get(sessionKeyId(key)) ?? []).map((ended) => ended.end),
    withConnectSession(key, connectSession) {
      const ended = byKey.get(sessionKeyId(key)) ?? [];
      return ended.findLast((one) => one.connectSessions.has(connectSession))?.end.uid;
    },
  };
}
