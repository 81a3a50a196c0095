import type { CheckRequest } from "../../decisions/decision.ts";

/**
 * A question in our terms, with a signal that is made when somebody first looks at it: most calls are decided upon at once.
 *
 * A class, as all with an accessor that is made for each call: the accessor of an object literal is born in V8's old space and
 * keeps the whole call there until the next full collection; see docs/design/003-speed.md.
 */
export class Question implements CheckRequest {
  readonly requestId: string;
  readonly sourceAddress: string;
  readonly path: string;
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly #signal: () => AbortSignal;

  /** @param signal called at each look at the signal */
  constructor(
    { requestId, sourceAddress, path, host, headers }: Omit<CheckRequest, "signal">,
    signal: () => AbortSignal,
  ) {
    this.requestId = requestId;
    this.sourceAddress = sourceAddress;
    this.path = path;
    this.host = host;
    this.headers = headers;
    this.#signal = signal;
  }

  get signal(): AbortSignal {
    return this.#signal();
  }
}
