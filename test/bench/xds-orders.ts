/** What a server of the xDS scenario is told to do, and what it answers. */
export interface XdsOrder {
  readonly put?: readonly DriverRange[];
  readonly remove?: readonly DriverRange[];
  /** The drivers are all known now. */
  readonly synced?: boolean;
  /** Of which types Envoy must acknowledge all that the order names before it counts as carried out. */
  readonly expect?: readonly ("cluster" | "endpoints")[];
  /** Drivers that were put before and are acknowledged only now. */
  readonly awaiting?: readonly DriverRange[];
  /** Collect garbage first. */
  readonly collect?: boolean;
  /** The changes come that long after the order, in milliseconds: what the server itself needs to measure them is ready by then. */
  readonly afterMs?: number;
}

/** The drivers from `from` to before `to`. */
export interface DriverRange {
  readonly from: number;
  readonly to: number;
  readonly port: number;
  /** Default: one of their own. */
  readonly host?: string;
  readonly app?: string;
}

export interface XdsAnswer {
  /** From the first change to the last acknowledgement. */
  readonly ms: number;
  /** From Envoy's latest connection to the last acknowledgement. */
  readonly sinceConnectMs: number;
  /** How long the changes themselves took to report. */
  readonly gaveMs: number;
  readonly cpuMs: number;
  readonly longestPauseMs: number;
  readonly rssKb: number;
}
