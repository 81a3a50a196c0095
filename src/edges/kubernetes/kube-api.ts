import { setMaxListeners } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Metrics } from "../../kernel/metrics.ts";
import { type ApiCall, ApiError, type KubeApi, type WatchCall, type WatchType } from "./api.ts";
import { type Connections, createConnections, send } from "./kube-connection.ts";
import { errorOf, measuredAs, readAnswer, readLines } from "./kube-requests.ts";

export interface KubeApiOptions {
  /** undefined: the ServiceAccount of the pod that we run in. */
  readonly kubeconfigFile?: string | undefined;
  /** For a whole request; for a watch, until the server has accepted it. ms */
  readonly requestTimeoutMs: number;
  readonly metrics: Metrics;
}

/**
 * The Kubernetes API over HTTP/1.1 with kept connections. Nothing is read before the first request. A refused credential
 * (401) makes the next request read the configuration anew.
 */
export function createKubeApi(options: KubeApiOptions): KubeApi {
  const parts: Parts = { ...options, connections: createConnections(options.kubeconfigFile) };
  return {
    call: async <T>(call: ApiCall) => await callOnce<T>(parts, call),
    watch: async (call) => await watchOnce(parts, call),
    close: () => parts.connections.close(),
  };
}

interface Parts extends KubeApiOptions {
  readonly connections: Connections;
}

async function callOnce<T>(parts: Parts, call: ApiCall): Promise<T> {
  const limit = timeLimit(call.signal, parts.requestTimeoutMs);
  const { verb, resource } = measuredAs(call.method, call.path);
  let code = 0;
  try {
    const response = await begin(parts, call, limit);
    code = response.statusCode ?? 0;
    if (code >= 400) throw await refusal(parts, response);
    return (await readAnswer(response, call.answer)) as T;
  } catch (error) {
    throw limit.explain(error);
  } finally {
    limit.end();
    parts.metrics.count("gatehouse_kubernetes_requests_total", { verb, resource, code: String(code) });
  }
}

async function watchOnce(parts: Parts, call: WatchCall): Promise<void> {
  const limit = timeLimit(call.signal, parts.requestTimeoutMs);
  const { resource } = measuredAs("GET", call.path);
  const count = (code: number) =>
    parts.metrics.count("gatehouse_kubernetes_requests_total", { verb: "watch", resource, code: String(code) });
  try {
    const response = await accepted(parts, call, limit, count);
    limit.lift();
    call.onOpen?.();
    await readLines(response, (line) => {
      const { type, object } = line as { readonly type: WatchType; readonly object: unknown };
      call.onEvent(type, object);
    });
  } catch (error) {
    throw limit.explain(error);
  } finally {
    limit.end();
  }
}

async function accepted(parts: Parts, call: WatchCall, limit: TimeLimit, count: (code: number) => void) {
  let code = 0;
  try {
    const query = { ...call.query, watch: true };
    const response = await begin(parts, { method: "GET", path: call.path, query }, limit);
    code = response.statusCode ?? 0;
    if (code >= 400) throw await refusal(parts, response);
    return response;
  } finally {
    count(code);
  }
}

async function begin(parts: Parts, call: Omit<ApiCall, "signal">, limit: TimeLimit): Promise<IncomingMessage> {
  const connection = await limit.race(parts.connections.current());
  return await send(connection, {
    method: call.method,
    path: call.path,
    query: call.query ?? {},
    body: call.body === undefined ? undefined : JSON.stringify(call.body),
    contentType: call.method === "PATCH" ? `application/${call.patch ?? "merge"}-patch+json` : "application/json",
    accept: call.answer === "text" ? "*/*" : "application/json",
    signal: limit.signal,
  });
}

async function refusal(parts: Parts, response: IncomingMessage): Promise<ApiError> {
  if (response.statusCode === 401) parts.connections.forget();
  return await errorOf(response);
}

interface TimeLimit {
  readonly signal: AbortSignal;
  race<T>(work: Promise<T>): Promise<T>;
  /** From now on only the caller's signal counts. */
  lift(): void;
  end(): void;
  explain(error: unknown): ApiError;
}

/** Joins the caller's signal and a time limit, and leaves nothing on the caller's signal, which may live as long as we do. */
function timeLimit(caller: AbortSignal | undefined, timeoutMs: number): TimeLimit {
  const controller = new AbortController();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    controller.abort();
  }, timeoutMs);
  const giveUp = () => controller.abort();
  if (caller?.aborted === true) giveUp();
  if (caller !== undefined) {
    // One term's signal may carry many requests at once: no sign of a leak.
    setMaxListeners(0, caller);
    caller.addEventListener("abort", giveUp, { once: true });
  }
  const lift = () => clearTimeout(timer);
  return {
    signal: controller.signal,
    lift,
    async race<T>(work: Promise<T>): Promise<T> {
      let stop: () => void = () => undefined;
      const aborted = new Promise<never>((_, reject) => {
        stop = () => reject(new Error("aborted"));
        controller.signal.addEventListener("abort", stop, { once: true });
        if (controller.signal.aborted) stop();
      });
      try {
        return await Promise.race([work, aborted]);
      } finally {
        controller.signal.removeEventListener("abort", stop);
      }
    },
    end() {
      lift();
      caller?.removeEventListener("abort", giveUp);
    },
    explain(error) {
      if (error instanceof ApiError && !controller.signal.aborted) return error;
      const none = (message: string) => new ApiError(0, "NoAnswer", message, { cause: error });
      if (timedOut) return none(`no answer from the API server within ${timeoutMs} ms`);
      if (controller.signal.aborted) return none("the request to the API server was given up");
      const code = (error as NodeJS.ErrnoException).code ?? "connection failed";
      return none(`no answer from the API server (${code})`);
    },
  };
}
