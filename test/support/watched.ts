import type { Driver, DriverEnd } from "../../src/drivers/driver.ts";
import type { DriverRuntime } from "../../src/drivers/runtime.ts";
import type { SessionKey } from "../../src/sessions/session-key.ts";

/** What a runtime's watch has said so far. */
export interface Watched {
  readonly runtime: DriverRuntime;
  /** The last value of each driver that is there, by uid. */
  readonly drivers: ReadonlyMap<string, Driver>;
  readonly ends: readonly DriverEnd[];
  /** Every value that was reported, in order. */
  readonly history: readonly Driver[];
  /** How many drivers had been reported when the first list was complete; undefined until then. */
  readonly firstList: number | undefined;
  of(key: SessionKey): Driver | undefined;
  /** The first value that fits, now or later. Fails when there is none by the deadline, saying what there is. */
  when<T>(what: string, find: (watched: Watched) => T | undefined, deadlineMs?: number): Promise<T>;
  ready(key: SessionKey, deadlineMs?: number): Promise<Driver & { readonly address: NonNullable<Driver["address"]> }>;
  /** Ends the watch, then closes the runtime. */
  close(): Promise<void>;
}

export function watchRuntime(runtime: DriverRuntime): Watched {
  const over = new AbortController();
  const drivers = new Map<string, Driver>();
  const ends: DriverEnd[] = [];
  const history: Driver[] = [];
  const listeners = new Set<() => void>();
  let firstList: number | undefined;
  let fault: unknown;
  const tell = () => {
    for (const listener of listeners) listener();
  };
  const sink = {
    upsert(driver: Driver) {
      drivers.set(driver.uid, driver);
      history.push(driver);
      tell();
    },
    remove(end: DriverEnd) {
      drivers.delete(end.uid);
      ends.push(end);
      tell();
    },
    synced() {
      firstList = drivers.size;
      tell();
    },
  };
  const watching = runtime.watch(sink, over.signal).catch((error: unknown) => {
    fault = error;
    tell();
  });
  const watched: Watched = {
    runtime,
    drivers,
    ends,
    history,
    get firstList() {
      return firstList;
    },
    of: (key) => [...drivers.values()].find((driver) => JSON.stringify(driver.key) === JSON.stringify(key)),
    async when(what, find, deadlineMs = 5_000) {
      return await new Promise((resolve, reject) => {
        const look = () => {
          const found = find(watched);
          if (found === undefined && fault === undefined) return;
          clearTimeout(timer);
          listeners.delete(look);
          if (found === undefined) reject(fault);
          else resolve(found);
        };
        const timer = setTimeout(() => {
          listeners.delete(look);
          const seen = history.map(({ key, phase, failure }) => `${key.app} ${phase} ${failure?.summary ?? ""}`);
          reject(
            new Error(`not within ${deadlineMs} ms: ${what}; seen: ${[...seen, JSON.stringify(ends)].join("; ")}`),
          );
        }, deadlineMs);
        listeners.add(look);
        look();
      });
    },
    async ready(key, deadlineMs = 60_000) {
      const done = await watched.when(
        `${key.app} is ready`,
        () => {
          const driver = watched.of(key);
          return driver !== undefined && driver.phase !== "starting" ? driver : undefined;
        },
        deadlineMs,
      );
      if (done.address === undefined) throw new Error(`${key.app} failed: ${JSON.stringify(done.failure)}`);
      return { ...done, address: done.address };
    },
    async close() {
      over.abort();
      await watching;
      await runtime.close();
    },
  };
  return watched;
}
