import { expect } from "vitest";
import { processStart } from "../../deploy/local/process-identity.ts";
import type { AuditRecord, DriverRecord } from "../../src/decisions/audit.ts";
import type { Stack, StackDriver } from "./stack.ts";
import { until } from "./until.ts";

export const idleMs = 8_000;
/** How long a stream's report is good for at one report a second: two intervals and the slack for buffering. */
export const proofMs = 4_000;
/** What a machine that runs other things may add to any of our waits. */
export const machineMs = 15_000;

/**
 * A configuration in which Gatehouse looks twice a second. Each namespace has a profile of its own, which has its name.
 * @param graceMs how long a detached operation counts
 */
export function quickLives(graceMs: number, profiles: Readonly<Record<string, object>>) {
  const creation = Object.keys(profiles).map((name) => ({ namespaces: [name], profile: name }));
  const activity = {
    access_log_interval_seconds: 1,
    reap_interval_seconds: 0.5,
    detached_grace_minutes: graceMs / 60_000,
  };
  return { activity, profiles, policy: { creation } };
}

export const idleProfile = {
  idle_timeout_minutes: idleMs / 60_000,
  // Nothing is sent while a query runs, and it has one stream for all its time: as quiet as a query can be.
  spark_conf: {
    "spark.connect.progress.reportInterval": "-1",
    "spark.connect.execute.reattachable.senderMaxStreamDuration": "10m",
  },
};

/** What GET /v1/sessions says of one session. */
export interface SeenSession {
  readonly session: string;
  readonly owner: string;
  readonly profile: string;
  readonly driver_uid: string;
  readonly phase: string;
  readonly created: string;
  readonly last_active: string;
  readonly busy: readonly string[];
  readonly idle_deadline: string | null;
  readonly ttl_deadline: string;
}

/** What can be seen of drivers' lives. Times are ms since the epoch. */
export interface Lives {
  /** A call of the HTTP side with the user's token. */
  http(user: string, path: string, method?: string): Promise<Response>;
  sessions(user: string): Promise<readonly SeenSession[]>;
  /** What alice is told of that driver. */
  seen(driver: StackDriver): Promise<SeenSession | undefined>;
  /** What the audit says was done to the driver or seen of it, oldest first. */
  events(driver: StackDriver): Promise<readonly DriverRecord[]>;
  /** When its last drain began; NaN for none. */
  drainOf(driver: StackDriver): Promise<number>;
  /** The audit's word on when it was last used: calls, messages and keepalives that were let through. */
  lastUse(driver: StackDriver): Promise<number>;
  /**
   * Looks on for `ms`: the driver is there, is not even drained, and is busy with exactly these causes, and `unproven`
   * where that is. `meanwhile` is done at each look.
   */
  stays(driver: StackDriver, ms: number, busy: readonly string[], meanwhile?: () => Promise<void>): Promise<void>;
  /** Waits for the driver's end in order. Resolves with the times of its last drain and its stop. */
  ends(driver: StackDriver, reason: "idle" | "max_ttl", deadlineMs: number): Promise<{ drain: number; stop: number }>;
}

export function livesOf(stack: Stack): Lives {
  const tokens = new Map<string, string>();
  const lives: Lives = {
    async http(user, path, method = "GET") {
      const token = tokens.get(user) ?? (await stack.token(user));
      tokens.set(user, token);
      return await fetch(`${stack.httpUrl}${path}`, { method, headers: { authorization: `Bearer ${token}` } });
    },
    async sessions(user) {
      const response = await lives.http(user, "/v1/sessions");
      return ((await response.json()) as { sessions: SeenSession[] }).sessions;
    },
    seen: async ({ uid }) => (await lives.sessions("alice")).find(({ driver_uid }) => driver_uid === uid),
    async events({ uid }) {
      const audit = await stack.audit();
      return audit.flatMap((each) => (each.kind === "driver" && each.driver_uid === uid ? [each] : []));
    },
    async drainOf(driver) {
      const drains = (await lives.events(driver)).filter(({ action }) => action === "drain");
      return Date.parse(drains.at(-1)?.time ?? "");
    },
    async lastUse(driver) {
      const uses = (await stack.audit()).filter((each) => isUseOf(each, driver));
      return Math.max(...uses.map(({ time }) => Date.parse(time)));
    },
    stays: async (driver, ms, busy, meanwhile) => await stays(lives, driver, { ms, busy, meanwhile }),
    ends: async (driver, reason, deadlineMs) => await ends(lives, driver, { reason, deadlineMs }),
  };
  return lives;
}

const isUseOf = (record: AuditRecord, { uid }: StackDriver): boolean =>
  record.kind !== "driver" && record.verdict === "allow" && record.driver_uid === uid;

interface Stay {
  readonly ms: number;
  readonly busy: readonly string[];
  readonly meanwhile: (() => Promise<void>) | undefined;
}

async function stays(lives: Lives, driver: StackDriver, { ms, busy, meanwhile }: Stay): Promise<void> {
  const before = (await lives.events(driver)).length;
  const end = Date.now() + ms;
  let looks = 0;
  while (Date.now() < end) {
    await meanwhile?.();
    const seen = await lives.seen(driver);
    expect(seen, `${driver.session} is there`).toMatchObject({ phase: "ready" });
    const causes = seen?.busy.filter((cause) => cause !== "unproven");
    expect(causes?.toSorted(), `what ${driver.session} is busy with`).toEqual([...busy].toSorted());
    const { idle_deadline: deadline = null, last_active: lastActive = "" } = seen ?? {};
    expect(deadline === null).toBe(seen?.busy.length !== 0);
    if (deadline !== null) expect(Date.parse(deadline)).toBe(Date.parse(lastActive) + idleMs);
    expect((await lives.events(driver)).slice(before)).toEqual([]);
    looks += 1;
    await new Promise((resolve) => {
      setTimeout(resolve, 300);
    });
  }
  expect(looks).toBeGreaterThan(ms / 5_000);
  expect(processStart(driver.pid ?? 0)).toBeDefined();
}

async function ends(
  lives: Lives,
  driver: StackDriver,
  { reason, deadlineMs }: { readonly reason: string; readonly deadlineMs: number },
): Promise<{ drain: number; stop: number }> {
  await until(async () => (await lives.events(driver)).at(-1)?.action === "ended", {
    deadlineMs,
    what: `${driver.session} ends`,
  });
  expect(processStart(driver.pid ?? 0), "the process is gone").toBeUndefined();
  const last = (await lives.events(driver)).slice(-3);
  expect(last.map((event) => [event.action, event.reason])).toEqual([
    ["drain", reason],
    ["stop", reason],
    ["ended", "stopped"],
  ]);
  const [drain = Number.NaN, stop = Number.NaN] = last.map(({ time }) => Date.parse(time));
  return { drain, stop };
}
