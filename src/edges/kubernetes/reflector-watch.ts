import type { Clock } from "../../kernel/clock.ts";
import { ApiError, type KubeApi, type WatchType } from "./api.ts";
import { statusError } from "./kube-requests.ts";
import type { KubeObject } from "./objects.ts";
import type { Selection } from "./reflector-list.ts";
import { asObject } from "./shape.ts";

export interface WatchTurn<T> {
  readonly api: KubeApi;
  readonly path: string;
  readonly selection: Selection;
  readonly version: string;
  /** How long the server shall keep it up. s */
  readonly seconds: number;
  readonly staleAfterMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  onOpen(): void;
  onChange(type: "ADDED" | "MODIFIED" | "DELETED", item: T): void;
  /** Everything up to this version has been seen; also after each change. */
  onVersion(version: string | undefined): void;
}

/** How a watch ended. "short": in peace, but at once and without a word, as only a broken server or proxy does. */
export type WatchEnd = "clean" | "short" | "silent";

const SHORT_MS = 1_000;

/**
 * One watch, from its beginning to its end. It is torn down where nothing came for `staleAfterMs`, not even a bookmark.
 * @throws ApiError, also for an ERROR event
 */
export async function watchTurn<T extends KubeObject>(turn: WatchTurn<T>): Promise<WatchEnd> {
  const { api, clock, signal } = turn;
  const own = new AbortController();
  const begun = clock.now();
  let heard = begun;
  let events = 0;
  let failure: ApiError | undefined;
  let silent = false;
  const giveUp = () => own.abort();
  signal.addEventListener("abort", giveUp, { once: true });
  if (signal.aborted) giveUp();
  const stopListening = listenForSilence(
    clock,
    turn.staleAfterMs,
    () => heard,
    () => {
      silent = true;
      own.abort();
    },
  );
  const onEvent = (type: WatchType, object: unknown) => {
    if (failure !== undefined || own.signal.aborted) return;
    const told = type === "ERROR" ? statusError(object) : read(type, object);
    if (told instanceof ApiError) {
      failure = told;
      own.abort();
      return;
    }
    heard = clock.now();
    events += 1;
    if (type !== "BOOKMARK" && type !== "ERROR") turn.onChange(type, told.item as T);
    turn.onVersion(told.version);
  };
  try {
    await api.watch({
      path: turn.path,
      query: queryOf(turn),
      signal: own.signal,
      onOpen: () => turn.onOpen(),
      onEvent,
    });
  } catch (error) {
    if (failure === undefined && !silent) throw error;
  } finally {
    stopListening();
    signal.removeEventListener("abort", giveUp);
  }
  if (failure !== undefined) throw failure;
  if (silent) return "silent";
  return events === 0 && clock.now() - begun < SHORT_MS ? "short" : "clean";
}

/** A bookmark is an object without a name. */
function read(type: WatchType, object: unknown): { item: KubeObject; version?: string } | ApiError {
  if (!["ADDED", "MODIFIED", "DELETED", "BOOKMARK"].includes(type)) {
    return new ApiError(0, "NoAnswer", "the API server sent a watch event of an unknown type");
  }
  try {
    const item = asObject(type === "BOOKMARK" ? withName(object) : object);
    const { resourceVersion } = item.metadata;
    return resourceVersion === undefined ? { item } : { item, version: resourceVersion };
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
}

function withName(bookmark: unknown): unknown {
  if (typeof bookmark !== "object" || bookmark === null) return bookmark;
  const metadata: unknown = Reflect.get(bookmark, "metadata");
  return { ...bookmark, metadata: typeof metadata === "object" ? { name: "", ...metadata } : metadata };
}

function queryOf({ selection, version, seconds }: Pick<WatchTurn<never>, "selection" | "version" | "seconds">) {
  return { ...selection, resourceVersion: version, allowWatchBookmarks: true, timeoutSeconds: seconds };
}

/** Looks at the time of the last event when it could be too long ago, instead of setting a timer at each event. */
function listenForSilence(clock: Clock, limitMs: number, heard: () => number, onSilence: () => void): () => void {
  let cancel: () => void = () => undefined;
  const look = () => {
    const left = heard() + limitMs - clock.now();
    // The wall clock may be set back meanwhile: never wait longer than the limit.
    if (left > 0) cancel = clock.after(Math.min(left, limitMs), look);
    else onSilence();
  };
  look();
  return () => cancel();
}
