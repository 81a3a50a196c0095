/**
 * - "listing": the whole is being read, for the first time or anew;
 * - "live": the watch goes on;
 * - "absent": the server knows no such collection (its CRD is not installed);
 * - "forbidden": our ServiceAccount may not read it;
 * - "away": no answer, or an error of the server's.
 */
export type ReflectorKind = "listing" | "live" | "absent" | "forbidden" | "away";

export interface ReflectorState {
  readonly kind: ReflectorKind;
  /** When the kind last changed, ms since the epoch. */
  readonly since: number;
  /** The last complete list, event, bookmark, or watch that ended in peace, ms since the epoch; 0: none yet. */
  readonly lastHeard: number;
  /** Why it is not live. Safe to show. */
  readonly message?: string;
}
