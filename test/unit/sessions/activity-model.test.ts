import { describe, expect, it } from "vitest";
import { createActivity } from "../../../src/sessions/activity.ts";
import type { ActivityRecord } from "../../../src/sessions/activity-record.ts";
import { proofMs } from "../../../src/sessions/idleness.ts";
import type { SparkCall } from "../../../src/spark/spark-call.ts";
import { aCall } from "../../support/spark-calls.ts";

// A world in which it is known what a driver really does. What Gatehouse sees of it may be late, doubled or lost (an
// entry is lost only together with a gap). Whatever happens, a driver that works must never look idle.

const rules = { intervalMs: 10_000, detachedGraceMs: 60_000 };

/** mulberry32: small, seeded, good enough to choose from a list. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Stream {
  readonly decisionId: string;
  readonly operationId: string | undefined;
  readonly method: string;
  nextReport: number;
}

class World {
  now = 1_000_000;
  readonly streams = new Map<string, Stream>();
  /** Unreleased operations: when a client was last attached. */
  readonly operations = new Map<string, { session: string; attached: number }>();
  readonly queries = new Map<string, Set<string>>();
  readonly #random: () => number;
  #made = 0;
  #logLost = false;
  /** What the driver's record holds: written when it is urgent, otherwise now and then. */
  #saved: ActivityRecord | undefined;
  activity = createActivity(rules, this.now);

  constructor(seed: number) {
    this.#random = seeded(seed);
    this.activity.track("d", this.now);
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.#random() * list.length)];
  }

  #session = () => `session-${Math.floor(this.#random() * 3)}`;
  #id = (kind: string) => `${kind}-${(this.#made += 1)}`;

  #report(key: string, stream: Stream, kind: "periodic" | "end"): void {
    if (this.#logLost) return;
    const { decisionId, method } = stream;
    const times = this.#random() < 0.1 ? 2 : 1;
    for (let i = 0; i < times; i += 1) {
      this.activity.stream({ uid: "d", streamKey: key, decisionId, method, kind, at: this.now });
    }
  }

  #open(method: string, operationId: string | undefined, session: string): void {
    const decisionId = this.#id("decision");
    const stream = { decisionId, operationId, method, nextReport: this.now + rules.intervalMs };
    const key = this.#id("stream");
    const reportsFirst = this.#random() < 0.2;
    this.activity.called("d", this.now);
    if (reportsFirst) this.#report(key, stream, "periodic");
    const reattachable = method === "ExecutePlan" && operationId !== undefined;
    this.#message(decisionId, aCall(method, { operationId, reattachable, connectSession: session }));
    this.streams.set(key, stream);
    if (operationId !== undefined) this.operations.set(operationId, { session, attached: this.now });
  }

  #say(method: string, more: Parameters<typeof aCall>[1]): void {
    this.activity.called("d", this.now);
    this.#message(this.#id("decision"), aCall(method, more));
  }

  #message(decisionId: string, call: SparkCall): void {
    const urgency = this.activity.message("d", decisionId, call, this.now);
    if (urgency !== "later") this.#saved = this.activity.toRecord("d");
  }

  #toggleLog(): void {
    this.#logLost = !this.#logLost;
    this.activity.accessLogGap(this.now);
  }

  #endStream(): void {
    const ended = this.#pick([...this.streams]);
    if (!ended) return;
    this.streams.delete(ended[0]);
    this.#report(ended[0], ended[1], "end");
  }

  #release(): void {
    const operationId = this.#pick([...this.operations.keys()]);
    if (operationId === undefined) return;
    this.operations.delete(operationId);
    for (const [key, stream] of this.streams) if (stream.operationId === operationId) this.streams.delete(key);
    this.#say("ReleaseExecute", { operationId, releasesOperation: true });
  }

  #releaseSession(connectSession: string): void {
    this.queries.delete(connectSession);
    for (const [id, { session }] of this.operations) if (session === connectSession) this.operations.delete(id);
    this.#say("ReleaseSession", { connectSession });
  }

  readonly #steps: readonly (() => void)[] = [
    () => this.#open("ExecutePlan", this.#id("operation"), this.#session()),
    () => this.#open("ExecutePlan", undefined, this.#session()),
    () => this.#open("AddArtifacts", undefined, this.#session()),
    () => {
      const known = this.#pick([...this.operations]);
      if (known) this.#open("ReattachExecute", known[0], known[1].session);
    },
    ...Array.from({ length: 4 }, () => () => this.#endStream()),
    ...Array.from({ length: 3 }, () => () => this.#release()),
    ...Array.from({ length: 2 }, () => () => this.#releaseSession(this.#session())),
    ...Array.from({ length: 2 }, () => () => {
      while (this.streams.size > 0) this.#endStream();
    }),
    () => {
      for (const n of [0, 1, 2]) this.#releaseSession(`session-${n}`);
      while (this.streams.size > 0) this.#endStream();
      while (this.operations.size > 0) this.#release();
    },
    () => {
      const connectSession = this.#session();
      const running = this.queries.get(connectSession) ?? new Set();
      this.queries.set(connectSession, running.add(this.#id("query")));
      this.#say("ExecutePlan", { connectSession, streamingQuery: "start" });
    },
    () => {
      const session = this.#pick([...this.queries]);
      const streamingQueryId = session && this.#pick([...session[1]]);
      if (session === undefined || streamingQueryId === undefined) return;
      session[1].delete(streamingQueryId);
      const stop = { connectSession: session[0], streamingQuery: "stop", streamingQueryId } as const;
      for (let i = 0; i < 1 + Math.floor(this.#random() * 2); i += 1) this.#say("ExecutePlan", stop);
    },
    () => {
      this.#saved = this.activity.toRecord("d");
    },
    () => this.#toggleLog(),
    ...Array.from({ length: 2 }, () => () => {
      this.activity = createActivity(rules, this.now);
      this.activity.track("d", 0);
      const record = this.#saved;
      if (record) this.activity.restore("d", JSON.parse(JSON.stringify(record)), { at: this.now, unrecordedMs: 0 });
    }),
  ];

  step(): void {
    // Entries are lost for less than the two intervals that a gap is good for; longer is a cut line, not a gap.
    const pause = this.#logLost
      ? rules.intervalMs / 2
      : this.#pick([1, 500, rules.intervalMs, 3 * rules.intervalMs, 7 * rules.intervalMs]);
    this.#passTime(pause ?? 1);
    if (this.#logLost) this.#toggleLog();
    else this.#pick(this.#steps)?.();
  }

  #passTime(ms: number): void {
    const until = this.now + ms;
    while (this.now < until) {
      this.now = Math.min(until, this.now + 500);
      for (const [key, stream] of this.streams) {
        const operation = stream.operationId === undefined ? undefined : this.operations.get(stream.operationId);
        if (operation) operation.attached = this.now;
        if (stream.nextReport > this.now) continue;
        stream.nextReport += rules.intervalMs;
        this.#report(key, stream, "periodic");
      }
    }
  }

  /** What the driver really does. */
  works(): boolean {
    const detached = [...this.operations.values()].some((one) => this.now - one.attached < rules.detachedGraceMs);
    return this.streams.size > 0 || detached || [...this.queries.values()].some((one) => one.size > 0);
  }

  /** Idle as the reaper sees it with an idle timeout of two intervals and the slack. */
  looksIdle(): boolean {
    const { busy, lastActive } = this.activity.usage("d", this.now) ?? { busy: [], lastActive: 0 };
    return busy.length === 0 && this.now - lastActive >= proofMs(rules);
  }
}

describe("activity against a model of the world", () => {
  it("never calls a driver idle that works, and every driver idle that has stopped working", () => {
    let worked = 0;
    let idle = 0;
    for (let seed = 1; seed <= 300; seed += 1) {
      const world = new World(seed);
      for (let step = 0; step < 200; step += 1) {
        world.step();
        const working = world.works();
        const looksIdle = world.looksIdle();
        if (working) worked += 1;
        if (looksIdle) idle += 1;
        if (working && looksIdle) expect.fail(`seed ${seed}, step ${step}: idle while it works`);
      }
      world.streams.clear();
      world.operations.clear();
      world.queries.clear();
      for (const n of [0, 1, 2]) {
        world.activity.message("d", `end-${n}`, aCall("ReleaseSession", { connectSession: `session-${n}` }), world.now);
      }
      world.now += rules.detachedGraceMs + proofMs(rules);
      expect(world.looksIdle(), `seed ${seed}`).toBe(true);
    }
    expect(worked).toBeGreaterThan(1_000);
    expect(idle).toBeGreaterThan(1_000);
  });
});
