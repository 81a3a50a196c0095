/** One request. `path` starts with `/api` or `/apis`. */
export interface ApiCall {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  /** With PATCH: a merge patch (default), or the operations of a JSON patch. */
  readonly patch?: "merge" | "json";
  /** What the answer's body is; default "json". "text": a pod's log, and the call resolves with a string. */
  readonly answer?: "json" | "text";
  readonly signal?: AbortSignal;
}

export type WatchType = "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";

export interface WatchCall {
  readonly path: string;
  readonly query: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly signal: AbortSignal;
  /** Called once, when the server has accepted the watch: events may be long in coming. */
  onOpen?(): void;
  /** Called in order, before the next line is read. */
  onEvent(type: WatchType, object: unknown): void;
}

/**
 * The Kubernetes API as Gatehouse uses it: JSON over one pool of connections, every request with a time limit, counted in
 * `gatehouse_kubernetes_requests_total`.
 */
export interface KubeApi {
  /** @throws ApiError for every answer of 400 and above, and (status 0) where there is no answer */
  call<T>(call: ApiCall): Promise<T>;
  /** Resolves when the server ended the watch in peace. @throws ApiError as `call` does, and where the stream breaks */
  watch(call: WatchCall): Promise<void>;
  close(): void;
}

/** What the API server answered, or that it did not. The message is safe to log: it holds no token. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;
  /** Kubernetes' own word, such as "AlreadyExists"; "NoAnswer" for status 0. */
  readonly reason: string;
  /** What the server asks to wait before another try. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    reason: string,
    message: string,
    options: { readonly retryAfterMs?: number | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}
