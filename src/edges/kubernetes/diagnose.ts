import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { KubeApi } from "./api.ts";
import { collectionPath, events, kinds, objectPath } from "./kinds.ts";
import type { KubeEvent } from "./objects.ts";

/** Whose events may say why a driver does not start: its main object and its pods. */
export interface Suspect {
  readonly namespace: string;
  readonly uids: readonly string[];
}

export interface PodLog {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string | undefined;
}

export interface DiagnoserOptions {
  readonly api: Pick<KubeApi, "call">;
  readonly clock: Clock;
  readonly log: Log;
  /** Something new was read about that driver. */
  onNews(uid: string): void;
}

/**
 * Reads what the watches do not tell: events of drivers that are slow to start, and the last log lines of pods that failed.
 * A read that fails is only noted at debug: what it would tell makes a failure's words better, nothing else.
 */
export interface Diagnoser {
  /** Reads these events every 2 s until it is told otherwise. Undefined: no more. */
  suspect(uid: string, suspect: Suspect | undefined): void;
  /** Reads the last 200 lines, once for each driver. */
  readLog(uid: string, place: PodLog): void;
  /** What was read last, oldest first. */
  eventsOf(uid: string): readonly KubeEvent[];
  /** The lines; undefined while they are not read. */
  logOf(uid: string): readonly string[] | undefined;
  forget(uid: string): void;
  close(): void;
}

interface Case {
  suspect: Suspect | undefined;
  /** When its events are due. */
  dueAt: number;
  busy: boolean;
  events: readonly KubeEvent[];
  log: readonly string[] | undefined;
  logAsked: boolean;
}

interface State extends DiagnoserOptions {
  readonly cases: Map<string, Case>;
  readonly over: AbortController;
  running: number;
  stopTimer: (() => void) | undefined;
}

const everyMs = 2_000;
const tickMs = 250;
const atOnce = 4;
const maxEvents = 50;
/** The cause stands above a stack trace that alone may be longer than what is shown. */
const logLines = 200;
/** The API server ends the log there, at its beginning: more than so many long lines have. */
const logBytes = 512 * 1024;

export function createDiagnoser(options: DiagnoserOptions): Diagnoser {
  const state: State = { ...options, cases: new Map(), over: new AbortController(), running: 0, stopTimer: undefined };
  return {
    suspect(uid, suspect) {
      const known = state.cases.get(uid);
      if (suspect === undefined) {
        if (known !== undefined) known.suspect = undefined;
        return;
      }
      caseOf(state, uid).suspect = suspect;
      tickLater(state);
    },
    readLog(uid, place) {
      const found = caseOf(state, uid);
      if (found.logAsked) return;
      found.logAsked = true;
      void readLog(state, uid, found, place);
    },
    eventsOf: (uid) => state.cases.get(uid)?.events ?? [],
    logOf: (uid) => state.cases.get(uid)?.log,
    forget: (uid) => void state.cases.delete(uid),
    close() {
      state.over.abort();
      state.stopTimer?.();
      state.cases.clear();
    },
  };
}

function caseOf(state: State, uid: string): Case {
  const known = state.cases.get(uid);
  if (known !== undefined) return known;
  const made: Case = { suspect: undefined, dueAt: 0, busy: false, events: [], log: undefined, logAsked: false };
  state.cases.set(uid, made);
  return made;
}

function tickLater(state: State): void {
  if (state.over.signal.aborted) return;
  state.stopTimer ??= state.clock.after(tickMs, () => {
    state.stopTimer = undefined;
    tick(state);
    if ([...state.cases.values()].some(({ suspect }) => suspect !== undefined)) tickLater(state);
  });
}

/** The one that waits longest comes first; what does not fit in waits for the next tick. */
function tick(state: State): void {
  const now = state.clock.now();
  const due = [...state.cases].filter(([, each]) => each.suspect !== undefined && !each.busy && each.dueAt <= now);
  due.sort(([, a], [, b]) => a.dueAt - b.dueAt);
  for (const [uid, each] of due.slice(0, Math.max(0, atOnce - state.running))) void readEvents(state, uid, each);
}

async function readEvents(state: State, uid: string, found: Case): Promise<void> {
  const { suspect } = found;
  if (suspect === undefined) return;
  found.busy = true;
  state.running += 1;
  try {
    const lists = await Promise.all(suspect.uids.map((of) => eventsOf(state, suspect.namespace, of)));
    const read = lists.flat().toSorted((a, b) => (a.lastTimestamp ?? "").localeCompare(b.lastTimestamp ?? ""));
    const isNews =
      read.length !== found.events.length || read.at(-1)?.metadata.uid !== found.events.at(-1)?.metadata.uid;
    found.events = read;
    if (isNews && state.cases.get(uid) === found) state.onNews(uid);
  } catch (error) {
    state.log.debug("the events of a driver could not be read", { driver_uid: uid, error });
  } finally {
    state.running -= 1;
    found.busy = false;
    found.dueAt = state.clock.now() + everyMs;
  }
}

async function eventsOf(state: State, namespace: string, uid: string): Promise<readonly KubeEvent[]> {
  const { items } = await state.api.call<{ readonly items: readonly KubeEvent[] }>({
    method: "GET",
    path: collectionPath(events, namespace),
    query: { fieldSelector: `involvedObject.uid=${uid}`, limit: maxEvents },
    signal: state.over.signal,
  });
  return items;
}

async function readLog(state: State, uid: string, found: Case, place: PodLog): Promise<void> {
  try {
    const text = await state.api.call<string>({
      method: "GET",
      path: `${objectPath(kinds.pod, place.namespace, place.pod)}/log`,
      query: { tailLines: logLines, limitBytes: logBytes, container: place.container },
      answer: "text",
      signal: state.over.signal,
    });
    found.log = text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .slice(-logLines);
  } catch (error) {
    state.log.debug("the log of a driver could not be read", { driver_uid: uid, error });
    found.log = [];
  }
  if (state.cases.get(uid) === found) state.onNews(uid);
}
