import {
  type ApiCall,
  ApiError,
  type KubeApi,
  type WatchCall,
  type WatchType,
} from "../../src/edges/kubernetes/api.ts";

/** A watch that a test holds in its hand. */
export interface HeldWatch {
  readonly query: WatchCall["query"];
  readonly aborted: boolean;
  event(type: WatchType, object: unknown): void;
  end(): void;
  fail(error: ApiError): void;
}

/** A Kubernetes API for unit tests: calls are answered by a function, watches are held open. */
export interface ScriptedKubeApi extends KubeApi {
  readonly calls: ApiCall[];
  readonly watches: HeldWatch[];
  /** The watch that was begun last. */
  readonly latest: HeldWatch;
  /** Answers calls from now on; what it throws is the answer too. A promise that never settles is a hung server: the call's signal ends it. */
  answer: (call: ApiCall) => unknown;
  /** Refuses watches from now on; undefined: accepts them. */
  refusal: ApiError | undefined;
}

export function scriptedKubeApi(answer: (call: ApiCall) => unknown): ScriptedKubeApi {
  const calls: ApiCall[] = [];
  const watches: HeldWatch[] = [];
  const api: ScriptedKubeApi = {
    calls,
    watches,
    answer,
    refusal: undefined,
    get latest() {
      return watches.at(-1)!;
    },
    async call<T>(call: ApiCall) {
      calls.push(call);
      if (call.signal?.aborted === true) throw givenUp();
      let giveUp: () => void = () => undefined;
      const given = new Promise<never>((_, reject) => {
        giveUp = () => reject(givenUp());
        call.signal?.addEventListener("abort", giveUp);
      });
      try {
        return (await Promise.race([(async () => await api.answer(call))(), given])) as T;
      } finally {
        call.signal?.removeEventListener("abort", giveUp);
      }
    },
    async watch(call) {
      if (api.refusal !== undefined) throw api.refusal;
      call.onOpen?.();
      await new Promise<void>((resolve, reject) => {
        call.signal.addEventListener("abort", () => reject(givenUp()), { once: true });
        watches.push({
          query: call.query,
          get aborted() {
            return call.signal.aborted;
          },
          event: (type, object) => call.onEvent(type, object),
          end: resolve,
          fail: reject,
        });
      });
    },
    close: () => undefined,
  };
  return api;
}

export const noAnswer = () => new ApiError(0, "NoAnswer", "no answer from the API server (ECONNREFUSED)");
const givenUp = () => new ApiError(0, "NoAnswer", "the request to the API server was given up");
