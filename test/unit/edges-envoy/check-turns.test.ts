import { describe, expect, it } from "vitest";
import type { CheckRequest } from "../../../src/decisions/decision.ts";
import type { CheckAnswer, CheckCall } from "../../../src/edges/envoy/check-server.ts";
import { createTurns } from "../../../src/edges/envoy/check-turns.ts";
import { checkTurns } from "../../../src/snapshots/check-headers.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const allowed: CheckAnswer = { status: 200, headers: [] };
const { turnMs, limitMs, againStatus } = checkTurns;

/** Questions that are decided when the test says so. */
function world() {
  const clock = createFakeClock();
  const decisions: { readonly request: CheckRequest; end(answer: CheckAnswer): void; fail(thrown: unknown): void }[] =
    [];
  const turns = createTurns({
    clock,
    requestOf: (call, signal) => ({
      requestId: call.rawHeaders[1] ?? "",
      sourceAddress: "127.0.0.1",
      path: call.path,
      host: "",
      headers: { who: call.rawHeaders[3] ?? "" },
      get signal() {
        return signal();
      },
    }),
    decide: (request) =>
      new Promise((end, fail) => {
        decisions.push({ request, end, fail });
      }),
  });
  /** Asks; `left` is Envoy giving up on it. */
  const ask = (id = "r-1", who = "alice", path = "/a") => {
    const leaving = new AbortController();
    const call: CheckCall = { path, rawHeaders: ["x-request-id", id, "who", who], signal: leaving.signal };
    let answer: CheckAnswer | Error | undefined;
    void turns(call).then(
      (given) => {
        answer = given;
      },
      (thrown: Error) => {
        answer = thrown;
      },
    );
    return { answer: () => answer, leave: () => leaving.abort() };
  };
  return { clock, decisions, ask };
}

/** Lets promises settle. */
const settle = (clock: { advance(ms: number): Promise<void> }) => clock.advance(0);

describe("a question that is decided at once", () => {
  it("costs no timer and is not remembered", async () => {
    const { clock, decisions, ask } = world();
    const first = ask();
    decisions[0]?.end(allowed);
    await settle(clock);
    expect(first.answer()).toEqual(allowed);
    expect(clock.pending).toBe(0);
    ask();
    expect(decisions).toHaveLength(2);
  });

  it("fails as the decision fails", async () => {
    const { clock, decisions, ask } = world();
    const first = ask();
    decisions[0]?.fail(new Error("broken"));
    await settle(clock);
    expect(first.answer()).toEqual(new Error("broken"));
  });
});

describe("a question that waits", () => {
  it("is told to ask again well before Envoy's limit, as often as it takes, and decided once", async () => {
    expect(turnMs * 2).toBeLessThan(limitMs);
    const { clock, decisions, ask } = world();
    const first = ask();
    expect(decisions[0]?.request.signal.aborted).toBe(false);
    await clock.advance(turnMs);
    expect(first.answer()).toMatchObject({ status: againStatus });
    for (let turn = 0; turn < 40; turn += 1) {
      const next = ask();
      await clock.advance(turnMs);
      expect(next.answer()).toMatchObject({ status: againStatus });
    }
    const last = ask();
    decisions[0]?.end(allowed);
    await settle(clock);
    expect(last.answer()).toEqual(allowed);
    expect(decisions).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it("finds an answer that came between two turns", async () => {
    const { clock, decisions, ask } = world();
    ask();
    void decisions[0]?.request.signal;
    await clock.advance(turnMs);
    decisions[0]?.end(allowed);
    await clock.advance(200);
    const next = ask();
    await settle(clock);
    expect(next.answer()).toEqual(allowed);
    expect(decisions).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it("is given up when Envoy leaves, and when it does not ask again", async () => {
    const { clock, decisions, ask } = world();
    const first = ask("r-1");
    const signal = decisions[0]?.request.signal;
    first.leave();
    expect(signal?.aborted).toBe(true);
    ask("r-2");
    const other = decisions[1]?.request.signal;
    await clock.advance(turnMs + 1000);
    expect(other?.aborted).toBe(false);
    await clock.advance(1000);
    expect(other?.aborted).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it("that was given up is a new one when it comes again, and its late end changes nothing", async () => {
    const { clock, decisions, ask } = world();
    const first = ask();
    void decisions[0]?.request.signal;
    first.leave();
    const second = ask();
    void decisions[1]?.request.signal;
    decisions[0]?.end({ status: 403, headers: [] });
    await clock.advance(turnMs);
    expect(second.answer()).toMatchObject({ status: againStatus });
    const third = ask();
    decisions[1]?.end(allowed);
    await settle(clock);
    expect(third.answer()).toEqual(allowed);
    expect(decisions).toHaveLength(2);
  });

  it.each([
    ["somebody else's", ["r-1", "bob", "/a"]],
    ["another path", ["r-1", "alice", "/b"]],
    ["another question", ["r-2", "alice", "/a"]],
  ] as const)("never answers %s", async (_, [id, who, path]) => {
    const { clock, decisions, ask } = world();
    ask();
    void decisions[0]?.request.signal;
    await clock.advance(turnMs);
    decisions[0]?.end(allowed);
    await settle(clock);
    const other = ask(id, who, path);
    await settle(clock);
    expect(other.answer()).toBeUndefined();
    expect(decisions).toHaveLength(2);
  });

  it("is not taken over while it is being waited for", async () => {
    const { clock, decisions, ask } = world();
    const first = ask();
    void decisions[0]?.request.signal;
    const twin = ask();
    expect(decisions).toHaveLength(2);
    decisions[0]?.end(allowed);
    await settle(clock);
    expect(first.answer()).toEqual(allowed);
    expect(twin.answer()).toBeUndefined();
  });
});
