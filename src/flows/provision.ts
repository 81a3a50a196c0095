import { isRoutable } from "../drivers/catalog.ts";
import type { Driver } from "../drivers/driver.ts";
import { driverFailed } from "../drivers/registry-waiters.ts";
import { GatewayError } from "../kernel/errors.ts";
import { sessionForbidden } from "../policy/access.ts";
import { sessionKeyId } from "../sessions/session-key.ts";
import { notReady } from "./not-ready.ts";
import type { Acquired, AcquireRequest, ProvisionerOptions } from "./provision-deps.ts";
import { createHolds, type Holds } from "./provision-holds.ts";
import { createStarts, type Starts } from "./provision-start.ts";

export interface Provisioner {
  /**
   * The key's driver, once it takes calls: at once where it does, otherwise held while it starts. With `create` an
   * absent or failed driver is started; any number of callers place one order.
   * @throws GatewayError DRIVER_FAILED (with the cause), DRIVER_STARTING and HOLD_LIMIT (with retryAfterMs), DRIVER_LIMIT,
   *   ON_DEMAND_DISABLED, NOT_READY, AUDIT_UNAVAILABLE, SHUTTING_DOWN, REQUEST_CANCELLED; SESSION_FORBIDDEN where there
   *   is no driver and none may be started
   */
  acquire(request: AcquireRequest): Promise<Acquired>;
  /** Calls being held now. */
  holds(): number;
  /** Ends all waits with SHUTTING_DOWN. Drivers that are starting start on. */
  close(): void;
}

interface State extends ProvisionerOptions {
  readonly starts: Starts;
  readonly held: Holds;
  closed: boolean;
}

export function createProvisioner(options: ProvisionerOptions): Provisioner {
  const held = createHolds(options);
  const starts = createStarts(options, {
    waiting: (id) => held.of(id) > 0,
    done: (id, outcome) => held.settle(id, outcome),
  });
  const state: State = { ...options, starts, held, closed: false };
  return {
    acquire: (request) => acquire(state, request),
    holds: () => held.total(),
    close() {
      state.closed = true;
      held.close();
      starts.close();
    },
  };
}

async function acquire(state: State, request: AcquireRequest): Promise<Acquired> {
  const known = state.registry.byKey(request.key);
  if (known !== undefined && isRoutable(known)) return { driver: known, heldMs: 0 };
  if (state.closed) throw new GatewayError("SHUTTING_DOWN", "this replica is shutting down; try again");
  if (!state.registry.synced) throw notReady();
  if (request.signal.aborted) throw new GatewayError("REQUEST_CANCELLED", "the call was cancelled");

  const id = sessionKeyId(request.key);
  if (!state.starts.underWay(id)) refuseStart(state, request, known);
  // Before the order, so that a caller who cannot be held does not start drivers either.
  const hold = state.held.hold(id, request);
  state.starts.join(id, request);
  return hold;
}

/** Why no start may begin for this call now, thrown; returns where one may, or where one begun elsewhere is waited for. */
function refuseStart(state: State, request: AcquireRequest, known: Driver | undefined): void {
  if (known?.phase === "starting") return;
  if (known?.phase === "failed" && (!request.create || remembered(state, known))) throw driverFailed(known);
  const failure = state.starts.recentFailure(sessionKeyId(request.key));
  if (failure !== undefined && request.create) throw failure;
  if (!request.create) throw sessionForbidden(request.key);
  if (!state.onDemand) {
    throw new GatewayError(
      "ON_DEMAND_DISABLED",
      "the session has no driver, and drivers are not started on demand here",
    );
  }
}

function remembered(state: State, failed: Driver): boolean {
  const at = failed.failure?.at ?? failed.createdAt;
  return state.clock.now() - at < state.limits.failureMemoryMs;
}
