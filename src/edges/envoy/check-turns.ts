import type { CheckRequest } from "../../decisions/decision.ts";
import type { Clock } from "../../kernel/clock.ts";
import { checkTurns } from "../../snapshots/check-headers.ts";
import type { CheckAnswer, CheckCall } from "./check-server.ts";

/** How long Envoy may take to ask again before the call counts as given up, in milliseconds: ten times as long as it waits. */
const askAgainMs = 10 * checkTurns.pauseMs;

const again: CheckAnswer = {
  status: checkTurns.againStatus,
  headers: [checkTurns.againHeader, "true"],
};

export interface TurnsDeps {
  readonly clock: Clock;
  /** The question in our terms. `signal` is called where somebody means to wait, at the first look at the request's signal. */
  readonly requestOf: (call: CheckCall, signal: () => AbortSignal) => CheckRequest;
  /** The one decision about it, in as many turns as it takes. */
  readonly decide: (request: CheckRequest) => Promise<CheckAnswer>;
}

/**
 * Decides about questions some of which wait for minutes. Envoy could tell a hung Gatehouse from a long wait only when the longest
 * wait is over, so it gives each question a few seconds; one that waits longer is answered with "ask again" before. The decision goes
 * on, whoever asks the same again waits for it, and it is given up when nobody does.
 */
export function createTurns({ clock, requestOf, decide }: TurnsDeps): (call: CheckCall) => Promise<CheckAnswer> {
  const waits = new Map<string, Wait>();
  return (call) =>
    new Promise((resolve, reject) => {
      const asked: Asked = { call, resolve, reject };
      let wait: Wait | undefined;
      const request = requestOf(call, () => {
        wait ??= begin(waits, clock, request, asked);
        return wait.signal;
      });
      const before = waits.size === 0 ? undefined : waits.get(request.requestId);
      if (before?.isFor(request)) {
        before.ask(asked);
        return;
      }
      const settle = (outcome: Outcome): void => {
        if (wait === undefined) outcome(asked);
        else wait.settle(outcome);
      };
      decide(request).then(
        (answer) => settle((whom) => whom.resolve(answer)),
        (thrown: unknown) => settle((whom) => whom.reject(thrown)),
      );
    });
}

/** One question on its way: who waits for the answer to it. */
interface Asked {
  readonly call: CheckCall;
  resolve(answer: CheckAnswer): void;
  reject(thrown: unknown): void;
}

/** Tells them how it ended. */
type Outcome = (asked: Asked) => void;

function begin(waits: Map<string, Wait>, clock: Clock, request: CheckRequest, asked: Asked): Wait {
  const { requestId } = request;
  // Without a name of its own nobody could ask for it again.
  const named = requestId !== "" && !waits.has(requestId);
  const forget = (): void => {
    if (waits.get(requestId) === wait) waits.delete(requestId);
  };
  const wait: Wait = new Wait(clock, request, named ? forget : undefined);
  if (named) waits.set(requestId, wait);
  wait.ask(asked);
  return wait;
}

/** A decision that takes its time. */
class Wait {
  readonly #clock: Clock;
  readonly #request: CheckRequest;
  readonly #forget: (() => void) | undefined;
  readonly #aborter = new AbortController();
  #asked: Asked | undefined;
  #outcome: Outcome | undefined;
  #cancelTimer = (): void => undefined;

  /** @param forget called once it is over; without it the question is never answered with "ask again" */
  constructor(clock: Clock, request: CheckRequest, forget: (() => void) | undefined) {
    this.#clock = clock;
    this.#request = request;
    this.#forget = forget;
  }

  /** Aborted when the call is given up. */
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  /** Whether that is the same question, and due: all of it must be the same, since the answer is about who asks. */
  isFor(request: CheckRequest): boolean {
    return this.#asked === undefined && isSame(this.#request, request);
  }

  ask(asked: Asked): void {
    this.#cancelTimer();
    if (this.#outcome !== undefined) {
      this.#forget?.();
      this.#outcome(asked);
      return;
    }
    this.#asked = asked;
    const left = (): void => {
      if (this.#asked === asked) this.#giveUp();
    };
    const { signal } = asked.call;
    if (signal.aborted) left();
    else signal.addEventListener("abort", left, { once: true });
    if (this.#forget !== undefined)
      this.#cancelTimer = this.#clock.after(checkTurns.turnMs, () => this.#askAgain(asked));
  }

  /** An answer that nobody waits for is kept until Envoy asks again. */
  settle(outcome: Outcome): void {
    this.#outcome = outcome;
    const asked = this.#asked;
    if (asked === undefined) return;
    this.#cancelTimer();
    this.#forget?.();
    outcome(asked);
  }

  #askAgain(asked: Asked): void {
    this.#asked = undefined;
    this.#cancelTimer = this.#clock.after(askAgainMs, () => this.#giveUp());
    asked.resolve(again);
  }

  #giveUp(): void {
    this.#cancelTimer();
    this.#forget?.();
    this.#aborter.abort();
  }
}

function isSame(one: CheckRequest, other: CheckRequest): boolean {
  if (one.path !== other.path || one.host !== other.host || one.sourceAddress !== other.sourceAddress) return false;
  const names = Object.keys(one.headers);
  if (names.length !== Object.keys(other.headers).length) return false;
  return names.every((name) => one.headers[name] === other.headers[name]);
}
