import { writeSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { type AuditTarget, openTarget } from "./audit-target.ts";

/** How a batch ended: the first `lines` of its lines are with the operating system, whole. */
export interface BatchResult {
  readonly lines: number;
  /** Why the others are not. */
  readonly cause: unknown;
}

export interface AuditWriter {
  /** Appends whole lines. Never rejects. Only one call at a time, and no reopen while one is under way. */
  append(lines: readonly string[]): Promise<BatchResult>;
  /** Opens the file anew. @throws NodeJS.ErrnoException; the old one stays in use then */
  reopen(): void;
  close(): void;
}

export interface AuditWriterOptions {
  readonly file: string;
  /** How long a full pipe is tried again before its records fail, in milliseconds. */
  readonly patienceMs: number;
}

interface State {
  target: AuditTarget | undefined;
  /** The last line there lacks its end. */
  torn: boolean;
  /** The pipe was full to the end of our patience: then it has to take something before we are patient again. */
  stalled: boolean;
}

const retryMs = 5;
/** How often one batch is written again because its file was removed under it. */
const mostRemovals = 3;
const newline = "\n";

/**
 * Appends batches to a file or a pipe with one write(2) each where the system takes it whole. A line that was cut short
 * by a fault is ended before the next one begins. After a fault everything is opened anew, so that it heals by itself.
 */
export function createAuditWriter(options: AuditWriterOptions): AuditWriter {
  const state: State = { target: undefined, torn: false, stalled: false };
  return {
    append: (lines) => append(state, options, lines),
    reopen() {
      const next = openTarget(options.file);
      drop(state);
      take(state, next);
    },
    close: () => drop(state),
  };
}

async function append(state: State, options: AuditWriterOptions, lines: readonly string[]): Promise<BatchResult> {
  for (let removals = 0; removals <= mostRemovals; removals++) {
    const progress = { written: 0 };
    let lead = 0;
    try {
      const target = state.target ?? take(state, openTarget(options.file));
      lead = state.torn ? newline.length : 0;
      const data = Buffer.from(`${state.torn ? newline : ""}${lines.join("")}`);
      await writeAll(state, target, data, progress, options.patienceMs);
      state.torn = false;
      if (!target.removed()) return { lines: lines.length, cause: undefined };
      drop(state);
    } catch (cause) {
      const { count, rest } = wholeLines(lines, progress.written - lead);
      if (progress.written > 0) state.torn = rest > 0;
      const lost = isRemoved(state.target);
      drop(state);
      return { lines: lost ? 0 : count, cause };
    }
  }
  return { lines: 0, cause: new Error("the audit file is removed again and again") };
}

/** Writes until all is written; throws where it cannot be. `progress` holds how far it came. */
async function writeAll(
  state: State,
  target: AuditTarget,
  data: Buffer,
  progress: { written: number },
  patienceMs: number,
): Promise<void> {
  const giveUp = Date.now() + (state.stalled ? 0 : patienceMs);
  while (progress.written < data.length) {
    try {
      progress.written += writeSync(target.fd, data, progress.written);
      state.stalled = false;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      if (Date.now() >= giveUp) {
        state.stalled = true;
        throw error;
      }
      await pause(retryMs);
    }
  }
}

function take(state: State, target: AuditTarget): AuditTarget {
  state.target = target;
  state.torn = target.torn ?? state.torn;
  return target;
}

function drop(state: State): void {
  const { target } = state;
  state.target = undefined;
  try {
    target?.close();
  } catch {
    // Somebody else closed it: as good as closed by us.
  }
}

function isRemoved(target: AuditTarget | undefined): boolean {
  try {
    return target?.removed() ?? false;
  } catch {
    return true;
  }
}

/** How many lines fit into that many bytes, and how many bytes of the next one are there too. */
function wholeLines(lines: readonly string[], bytes: number): { count: number; rest: number } {
  let rest = Math.max(0, bytes);
  let count = 0;
  for (const line of lines) {
    const bytes = Buffer.byteLength(line);
    if (bytes > rest) break;
    rest -= bytes;
    count++;
  }
  return { count, rest };
}
