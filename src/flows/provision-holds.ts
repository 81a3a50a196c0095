import type { Driver } from "../drivers/driver.ts";
import { ownerId } from "../identity/principal.ts";
import { GatewayError } from "../kernel/errors.ts";
import type { Acquired, AcquireRequest, ProvisionerOptions } from "./provision-deps.ts";

/** What came of a start: the driver, or why there is none. */
export type StartOutcome = Driver | GatewayError;

/** The calls that wait for drivers, counted in all and by owner. Every operation but `settle` and `close` is O(1). */
export interface Holds {
  /** @throws GatewayError HOLD_LIMIT at once; rejects as {@link StartOutcome}, DRIVER_STARTING, REQUEST_CANCELLED, SHUTTING_DOWN */
  hold(id: string, request: AcquireRequest): Promise<Acquired>;
  /** Answers everyone who waits under that id. */
  settle(id: string, outcome: StartOutcome): void;
  of(id: string): number;
  total(): number;
  close(): void;
}

type Outcome = "ready" | "failed" | "timeout" | "cancelled" | "shutdown";

interface Hold {
  end(outcome: Outcome, result: StartOutcome): void;
}

type Options = Pick<ProvisionerOptions, "clock" | "metrics" | "limits" | "random">;

interface State {
  readonly options: Options;
  readonly byId: Map<string, Set<Hold>>;
  readonly byOwner: Map<string, number>;
  total: number;
}

export function createHolds(options: Options): Holds {
  const state: State = { options, byId: new Map(), byOwner: new Map(), total: 0 };
  return {
    hold(id, request) {
      const owner = ownerId(request.principal);
      refuseBeyondLimits(state, owner);
      return begin(state, id, owner, request.signal);
    },
    settle(id, outcome) {
      const label = outcome instanceof GatewayError ? "failed" : "ready";
      for (const hold of state.byId.get(id) ?? []) hold.end(label, outcome);
    },
    of: (id) => state.byId.get(id)?.size ?? 0,
    total: () => state.total,
    close() {
      const error = new GatewayError("SHUTTING_DOWN", "this replica is shutting down; try again");
      for (const holds of state.byId.values()) for (const hold of holds) hold.end("shutdown", error);
    },
  };
}

/**
 * The client's wait before it tries again: 1 to 5 s. It must be longer than the client's own first waits (50 ms to 3 s),
 * or RetryInfo changes nothing; not much longer than a driver takes to start (4 to 6 s), or the client comes late; and
 * spread, so that those who were turned away together do not come back together.
 */
export function retryAfter(random: () => number = Math.random): number {
  return Math.round(1_000 + random() * 4_000);
}

function refuseBeyondLimits(state: State, owner: string): void {
  const { limits, random } = state.options;
  const mine = (state.byOwner.get(owner) ?? 0) >= limits.maxHoldsPerOwner;
  if (!mine && state.total < limits.maxHolds) return;
  const whose = mine ? "your calls are" : "calls are";
  throw new GatewayError("HOLD_LIMIT", `too many ${whose} already waiting for drivers to start; try again`, {
    retryAfterMs: retryAfter(random),
  });
}

function begin(state: State, id: string, owner: string, signal: AbortSignal): Promise<Acquired> {
  const { clock, limits, random } = state.options;
  const since = clock.now();
  return new Promise((resolve, reject) => {
    const cancelled = () => hold.end("cancelled", new GatewayError("REQUEST_CANCELLED", "the call was cancelled"));
    const stopTimer = clock.after(limits.holdMs, () => hold.end("timeout", stillStarting(random)));
    const hold: Hold = {
      end(outcome, result) {
        if (!leave(state, id, owner, hold)) return;
        stopTimer();
        signal.removeEventListener("abort", cancelled);
        const heldMs = Math.max(0, clock.now() - since);
        state.options.metrics.observe("gatehouse_held_seconds", { outcome }, heldMs / 1_000);
        if (result instanceof GatewayError) reject(result);
        else resolve({ driver: result, heldMs });
      },
    };
    enter(state, id, owner, hold);
    signal.addEventListener("abort", cancelled, { once: true });
  });
}

const stillStarting = (random: (() => number) | undefined): GatewayError =>
  new GatewayError("DRIVER_STARTING", "the driver of this session is still starting; try again", {
    retryAfterMs: retryAfter(random),
  });

function enter(state: State, id: string, owner: string, hold: Hold): void {
  const holds = state.byId.get(id) ?? new Set();
  state.byId.set(id, holds.add(hold));
  state.byOwner.set(owner, (state.byOwner.get(owner) ?? 0) + 1);
  state.total += 1;
  state.options.metrics.set("gatehouse_holds", {}, state.total);
}

/** Whether the hold was still there: it ends once. */
function leave(state: State, id: string, owner: string, hold: Hold): boolean {
  const holds = state.byId.get(id);
  if (holds?.delete(hold) !== true) return false;
  if (holds.size === 0) state.byId.delete(id);
  const left = (state.byOwner.get(owner) ?? 1) - 1;
  if (left > 0) state.byOwner.set(owner, left);
  else state.byOwner.delete(owner);
  state.total -= 1;
  state.options.metrics.set("gatehouse_holds", {}, state.total);
  return true;
}
