import type { Tools } from "../../deploy/local/tools.ts";

/** What every scenario of one run shares. */
export interface BenchContext {
  readonly tools: Tools;
  /** The Go program of peers. */
  readonly peers: string;
  /** A folder for this scenario's files; removed at the end. */
  readonly folder: string;
  /** Counted rounds. */
  readonly rounds: number;
  /** How long one measurement of a rate lasts. */
  readonly seconds: number;
}
