import { describe, expect, it } from "vitest";
import type { Draining } from "../../../src/drivers/driver.ts";
import { type LifetimeStep, lifetimeStep } from "../../../src/drivers/lifetime.ts";
import type { BusyCause } from "../../../src/sessions/idleness.ts";

const lifetimes = { idleTimeoutMs: 1_000, maxTtlMs: 10_000, drainLimitMs: 500 };
const quietMs = 100;

interface Row {
  readonly what: string;
  readonly now: number;
  readonly lastActive: number;
  readonly busy?: readonly BusyCause[];
  readonly draining?: Draining;
  readonly due: LifetimeStep | undefined;
}

const idleSince = (since: number): Draining => ({ reason: "idle", since });
const ttlSince = (since: number): Draining => ({ reason: "max_ttl", since });

const rows: readonly Row[] = [
  { what: "not idle long enough", now: 1_999, lastActive: 1_000, due: undefined },
  { what: "idle", now: 2_000, lastActive: 1_000, due: { step: "drain", reason: "idle" } },
  { what: "idle, but busy", now: 9_000, lastActive: 1_000, busy: ["streaming_query"], due: undefined },
  { what: "idle, but unproven", now: 9_000, lastActive: 1_000, busy: ["unproven"], due: undefined },
  { what: "drained too short", now: 2_099, lastActive: 1_000, draining: idleSince(2_000), due: undefined },
  {
    what: "drained and unused",
    now: 2_100,
    lastActive: 1_000,
    draining: idleSince(2_000),
    due: { step: "stop", reason: "idle" },
  },
  {
    what: "used in the moment of the drain",
    now: 2_100,
    lastActive: 2_000,
    draining: idleSince(2_000),
    due: { step: "undrain" },
  },
  {
    what: "drained and a stream reported",
    now: 2_050,
    lastActive: 1_000,
    busy: ["stream"],
    draining: idleSince(2_000),
    due: { step: "undrain" },
  },
  {
    what: "drained and unproven",
    now: 5_000,
    lastActive: 1_000,
    busy: ["unproven"],
    draining: idleSince(2_000),
    due: undefined,
  },
  {
    what: "too old, in use",
    now: 10_000,
    lastActive: 10_000,
    busy: ["stream"],
    due: { step: "drain", reason: "max_ttl" },
  },
  {
    what: "too old, draining for idleness",
    now: 10_000,
    lastActive: 9_000,
    draining: idleSince(9_999),
    due: { step: "drain", reason: "max_ttl" },
  },
  {
    what: "too old and still busy",
    now: 10_400,
    lastActive: 9_000,
    busy: ["stream"],
    draining: ttlSince(10_000),
    due: undefined,
  },
  { what: "too old and just used", now: 10_400, lastActive: 10_350, draining: ttlSince(10_000), due: undefined },
  {
    what: "too old and quiet",
    now: 10_400,
    lastActive: 10_300,
    draining: ttlSince(10_000),
    due: { step: "stop", reason: "max_ttl" },
  },
  {
    what: "too old and busy at the drain limit",
    now: 10_500,
    lastActive: 10_500,
    busy: ["stream", "detached", "streaming_query", "unproven"],
    draining: ttlSince(10_000),
    due: { step: "stop", reason: "max_ttl" },
  },
  {
    what: "a deletion that was begun",
    now: 1_000,
    lastActive: 1_000,
    busy: ["stream"],
    draining: { reason: "deleted", since: 900 },
    due: { step: "stop", reason: "deleted" },
  },
];

describe("what is due for a driver", () => {
  it.each(rows)("$what: $due", ({ now, lastActive, busy = [], draining, due }) => {
    const facts = { createdAt: 0, draining, usage: { busy, lastActive }, now };
    expect(lifetimeStep(facts, lifetimes, quietMs)).toEqual(due);
  });
});
