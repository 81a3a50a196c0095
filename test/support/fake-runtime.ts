import type { Draining, Driver, DriverEnd } from "../../src/drivers/driver.ts";
import type { DriverRef, DriverRuntime, DriverSink, StartRequest } from "../../src/drivers/runtime.ts";
import type { Clock } from "../../src/kernel/clock.ts";
import { Secret } from "../../src/kernel/secret.ts";
import type { ActivityRecord } from "../../src/sessions/activity-record.ts";
import { type SessionKey, sessionKeyId } from "../../src/sessions/session-key.ts";

/** A runtime in memory whose drivers do what the test says. For tests of pure code only. */
export interface FakeRuntime extends DriverRuntime {
  /** What `mayStop` and `faults` answer. */
  may: boolean;
  faultLines: string[];
  readonly starts: StartRequest[];
  readonly stops: { readonly uid: string; readonly why: Draining["reason"] }[];
  readonly records: {
    readonly uid: string;
    readonly activity: ActivityRecord;
    readonly draining: Draining | "keep" | undefined;
  }[];
  /** What the next orders do; an error makes them fail. */
  startError: Error | undefined;
  stopError: (uid: string) => Error | undefined;
  recordError: Error | undefined;
  /** Reports a driver as it is now. */
  put(driver: Driver): Driver;
  ready(uid: string): Driver;
  fail(uid: string, summary: string, logTail?: readonly string[]): void;
  gone(uid: string, cause?: DriverEnd["cause"]): void;
  newest(key: SessionKey): Driver | undefined;
}

export function aKey(app: string, namespace = "sjns-data-dev"): SessionKey {
  return { cluster: "local", namespace, app };
}

export function aDriver(change: Partial<Driver> = {}): Driver {
  const uid = change.uid ?? "uid-1";
  return {
    uid,
    name: `driver-${uid}`,
    key: aKey("app"),
    owner: "alice@dev",
    ownerUser: "alice",
    sharedWithGroups: [],
    profile: "interactive",
    phase: "ready",
    address: { host: "127.0.0.1", port: 15002 },
    token: new Secret("token"),
    createdAt: 1_000,
    draining: undefined,
    failure: undefined,
    recorded: undefined,
    ...change,
  };
}

export function createFakeRuntime(sink: DriverSink, clock: Clock, shared = false): FakeRuntime {
  const drivers = new Map<string, Driver>();
  let made = 0;
  const change = (uid: string, to: Partial<Driver>): Driver => {
    const driver = drivers.get(uid);
    if (driver === undefined) throw new Error(`no driver ${uid}`);
    return fake.put({ ...driver, ...to });
  };
  const fake: FakeRuntime = {
    shared,
    may: true,
    faultLines: [],
    mayStop: () => fake.may,
    isLed: () => true,
    handedOver: () => undefined,
    faults: () => fake.faultLines,
    starts: [],
    stops: [],
    records: [],
    startError: undefined,
    stopError: () => undefined,
    recordError: undefined,
    put(driver) {
      drivers.set(driver.uid, driver);
      sink.upsert(driver);
      return driver;
    },
    ready: (uid) => change(uid, { phase: "ready", address: { host: "127.0.0.1", port: 15002 } }),
    fail(uid, summary, logTail = []) {
      change(uid, { phase: "failed", failure: { summary, logTail, exitCode: 1, at: clock.now() } });
    },
    gone(uid, cause = "died") {
      const driver = drivers.get(uid);
      if (driver === undefined || !drivers.delete(uid)) return;
      sink.remove({ uid, key: driver.key, cause, summary: `the driver ${cause}`, at: clock.now() });
    },
    newest: (key) => [...drivers.values()].findLast((driver) => sessionKeyId(driver.key) === sessionKeyId(key)),
    watch: async () => undefined,
    close: async () => undefined,
    async start(request) {
      fake.starts.push(request);
      await Promise.resolve();
      if (fake.startError !== undefined) throw fake.startError;
      const old = fake.newest(request.key);
      if (old !== undefined && old.phase !== "failed") return;
      if (old !== undefined) fake.gone(old.uid);
      made += 1;
      const uid = `made-${made}`;
      const started = { ...request, uid, name: `driver-${uid}`, createdAt: clock.now() };
      fake.put(aDriver({ ...started, phase: "starting", address: undefined }));
    },
    async stop(ref: DriverRef, why) {
      fake.stops.push({ uid: ref.uid, why });
      await Promise.resolve();
      const error = fake.stopError(ref.uid);
      if (error !== undefined) throw error;
      fake.gone(ref.uid, "stopped");
    },
    async record(ref, { activity, draining: asked }) {
      fake.records.push({ uid: ref.uid, activity, draining: asked });
      await Promise.resolve();
      if (fake.recordError !== undefined) throw fake.recordError;
      const driver = drivers.get(ref.uid);
      if (driver === undefined) return;
      const draining = asked === "keep" ? driver.draining : asked;
      const phase =
        driver.phase === "ready" || driver.phase === "draining" ? (draining ? "draining" : "ready") : driver.phase;
      fake.put({ ...driver, recorded: activity, draining, phase });
    },
  };
  return fake;
}
