import { GatewayError } from "../../kernel/errors.ts";
import { type ApiCall, ApiError } from "./api.ts";
import type { World } from "./world.ts";

/**
 * One order's requests to the API server. Every one is refused once the term in which the order began has ended, and one
 * that is under way then is given up: another replica may be leading.
 */
export interface Term {
  /** Aborts when the term or this process ends. */
  readonly signal: AbortSignal;
  /** @throws ApiError as `KubeApi.call`; TermOver */
  call<T>(call: Omit<ApiCall, "signal">): Promise<T>;
}

/** The order was not carried out, or not to its end, because this replica does not lead any more. */
export class TermOver extends Error {
  override readonly name = "TermOver";

  constructor() {
    super("this replica does not lead any more");
  }
}

/** One for each term: signals that live long keep what is joined to them. */
const joined = new WeakMap<AbortSignal, AbortSignal>();

/** The present term, where this replica leads. */
export function currentTerm({ options, election, over }: World): Term | undefined {
  const term = election.term();
  if (term === undefined || over.signal.aborted) return undefined;
  const signal = joined.get(term) ?? AbortSignal.any([term, over.signal]);
  joined.set(term, signal);
  return {
    signal,
    async call<T>(call: Omit<ApiCall, "signal">) {
      if (signal.aborted || !election.leads()) throw new TermOver();
      try {
        return await options.api.call<T>({ ...call, signal });
      } catch (error) {
        throw signal.aborted ? new TermOver() : error;
      }
    },
  };
}

/** As {@link currentTerm}. @throws GatewayError NOT_READY where another replica leads, or none */
export function leading(world: World, toDo: string): Term {
  const term = currentTerm(world);
  if (term !== undefined) return term;
  throw new GatewayError("NOT_READY", `only the leading replica may ${toDo}; try again`, { retryAfterMs: 1_000 });
}

export const isStatus = (error: unknown, ...statuses: readonly number[]): error is ApiError =>
  error instanceof ApiError && statuses.includes(error.status);

/** Whether asking again may help without anything being changed: no answer, too many requests, a fault of the server's. */
export const isPassing = (error: unknown): error is ApiError =>
  error instanceof ApiError && (error.status === 0 || error.status === 429 || error.status >= 500);
