import { toDriverRecord } from "../decisions/driver-record.ts";
import type { Driver } from "../drivers/driver.ts";
import { ownerId } from "../identity/principal.ts";
import { GatewayError } from "../kernel/errors.ts";
import { sessionForbidden } from "../policy/access.ts";
import type { SessionKey } from "../sessions/session-key.ts";
import { displayKey } from "../sessions/session-key.ts";
import type { AcquireRequest, ProvisionerOptions } from "./provision-deps.ts";
import { retryAfter, type StartOutcome } from "./provision-holds.ts";

/** The starts under way, one for each key whatever the number of callers. A start goes on when nobody waits any more. */
export interface Starts {
  underWay(id: string): boolean;
  /** Begins the start, or joins the one under way. */
  join(id: string, request: AcquireRequest): void;
  /** The cause of a start that failed a moment ago. */
  recentFailure(id: string): GatewayError | undefined;
  /** Stops watching; what was ordered goes on in the runtime. */
  close(): void;
}

interface StartEvents {
  /** Whether somebody waits under that id. */
  waiting(id: string): boolean;
  done(id: string, outcome: StartOutcome): void;
}

interface Start {
  readonly id: string;
  readonly key: SessionKey;
  readonly abort: AbortController;
  /** The first caller who may create the driver; it becomes the owner. */
  creator: AcquireRequest | undefined;
}

interface State {
  readonly options: ProvisionerOptions;
  readonly events: StartEvents;
  readonly starts: Map<string, Start>;
  readonly failures: Map<string, { readonly error: GatewayError; readonly until: number }>;
}

const maxFailures = 1_000;

/**
 * How long an order may take (another replica may have to be asked), and how long after it the runtime has to report the
 * driver. Past either the order counts as lost and may be repeated. ms
 */
const reportLimitMs = 60_000;

export function createStarts(options: ProvisionerOptions, events: StartEvents): Starts {
  const state: State = { options, events, starts: new Map(), failures: new Map() };
  return {
    underWay: (id) => state.starts.has(id),
    join(id, request) {
      const start = state.starts.get(id) ?? begin(state, id, request.key);
      if (request.create) start.creator ??= request;
    },
    recentFailure(id) {
      const failure = state.failures.get(id);
      if (failure === undefined || failure.until > options.clock.now()) return failure?.error;
      state.failures.delete(id);
      return undefined;
    },
    close() {
      for (const start of state.starts.values()) start.abort.abort();
    },
  };
}

function begin(state: State, id: string, key: SessionKey): Start {
  const start: Start = { id, key, abort: new AbortController(), creator: undefined };
  state.starts.set(id, start);
  // One turn later, so that the caller who begins it has been noted as its creator.
  void Promise.resolve()
    .then(() => bringUp(state, start))
    .catch((thrown: unknown) => failed(state, start, GatewayError.from(thrown)))
    .then((outcome) => {
      state.starts.delete(id);
      const wanted = state.events.waiting(id);
      if (wanted && !(outcome instanceof GatewayError)) publish(state);
      state.events.done(id, outcome);
    });
  return start;
}

async function bringUp(state: State, start: Start): Promise<Driver> {
  const { registry } = state.options;
  await endingGone(state, start);
  const known = registry.byKey(start.key);
  const replaced = known?.phase === "failed" ? known.uid : undefined;
  // Waits before it orders: a driver may start and fail before the order's answer is here.
  const up = registry.waitFor(start.key, start.abort.signal, replaced);
  if (start.abort.signal.aborted || (known !== undefined && replaced === undefined)) return up;
  const reported = () => {
    const driver = registry.byKey(start.key);
    return driver !== undefined && driver.uid !== replaced;
  };
  const limited = () =>
    state.options.clock.after(reportLimitMs, () => {
      if (!reported()) start.abort.abort();
    });
  let refused: unknown;
  let ended = false;
  let stopTimer = limited();
  order(state, start).then(
    () => {
      stopTimer();
      if (!ended) stopTimer = limited();
    },
    (thrown: unknown) => {
      // Somebody else's order for this key may have been taken: then its driver is what everyone here waits for too.
      if (reported()) return;
      refused = thrown;
      start.abort.abort();
    },
  );
  try {
    return await up;
  } catch (thrown) {
    throw refused ?? thrown;
  } finally {
    ended = true;
    stopTimer();
  }
}

/** A driver whose stop is ordered still holds the name: the next one starts when it is gone, or when the stop failed. */
async function endingGone(state: State, { key, abort }: Start): Promise<void> {
  const { registry } = state.options;
  if (registry.byKey(key) !== undefined || registry.endingOf(key) === undefined) return;
  await new Promise<void>((resolve, reject) => {
    const look = () => {
      if (!abort.signal.aborted && registry.byKey(key) === undefined && registry.endingOf(key) !== undefined) return;
      stopListening();
      abort.signal.removeEventListener("abort", look);
      if (abort.signal.aborted) reject(new GatewayError("REQUEST_CANCELLED", "the wait for the driver was given up"));
      else resolve();
    };
    const stopListening = registry.onChange(look);
    abort.signal.addEventListener("abort", look, { once: true });
  });
}

/** Writes the audit first: a driver that runs without a record of who had it started must not exist. */
async function order(state: State, { key, creator }: Start): Promise<void> {
  const { audit, clock, log, runtime, nameOf, sharedWith } = state.options;
  if (creator?.profile === undefined) throw sessionForbidden(key);
  const { principal, profile, decisionId } = creator;
  const event = { key, owner: ownerId(principal), name: nameOf(key), decisionId };
  await audit.write(toDriverRecord({ ...event, time: clock.now(), action: "start", reason: "on_demand" }));
  try {
    await runtime.start({
      key,
      owner: ownerId(principal),
      ownerUser: principal.user,
      sharedWithGroups: sharedWith(profile),
      profile,
    });
  } catch (thrown) {
    const error = GatewayError.from(thrown);
    const { reason, message } = error;
    await audit
      .write(toDriverRecord({ ...event, time: clock.now(), action: "failed", reason, message }))
      .catch((fault: unknown) => log.error("a failed start could not be audited", { error: fault }));
    throw error;
  }
}

function failed(state: State, start: Start, error: GatewayError): GatewayError {
  const { clock, limits, log, random } = state.options;
  log.warn("a driver did not start", {
    session: displayKey(start.key),
    reason: error.reason,
    detail: error.message,
    error: error.cause,
  });
  if (error.reason === "DRIVER_FAILED") {
    const owned = withOwner(error, start);
    state.failures.delete(start.id);
    state.failures.set(start.id, { error: owned, until: clock.now() + limits.failureMemoryMs });
    for (const oldest of state.failures.keys()) {
      if (state.failures.size <= maxFailures) break;
      state.failures.delete(oldest);
    }
    return owned;
  }
  if (error.reason === "REQUEST_CANCELLED") {
    return new GatewayError("DRIVER_STARTING", "the runtime has not reported the driver yet; try again", {
      retryAfterMs: retryAfter(random),
    });
  }
  if (error.reason === "DRIVER_LIMIT" && error.retryAfterMs === undefined) {
    return new GatewayError("DRIVER_LIMIT", error.message, { cause: error, retryAfterMs: retryAfter(random) });
  }
  return error;
}

/** Says whose start it was: the cause may quote the driver's log, which is for its owner only. */
function withOwner(error: GatewayError, { creator }: Start): GatewayError {
  if (error.fields["owner"] !== undefined || creator === undefined) return error;
  const { message, cause } = error;
  return new GatewayError("DRIVER_FAILED", message, {
    cause,
    fields: { ...error.fields, owner: ownerId(creator.principal) },
  });
}

/** A fault in publishing must not turn a driver that is up into a failed start: Envoy gets it with the next push. */
function publish(state: State): void {
  try {
    state.options.publishNow?.();
  } catch (error) {
    state.options.log.error("publishing a driver that somebody waits for failed", { error });
  }
}
