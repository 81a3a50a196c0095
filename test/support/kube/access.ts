import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import { collectionPath, type KindSpec } from "../../../src/edges/kubernetes/kinds.ts";
import type { KubeObject, Stored } from "../../../src/edges/kubernetes/objects.ts";
import { until } from "../until.ts";

/** For one exchange, with what it waits because the server asks for it. ms */
const LIMIT_MS = 15_000;

/** A collection: its paths are all that is needed of it. */
export type Collection = Pick<KindSpec, "apiVersion" | "plural">;

export const pods: Collection = { apiVersion: "v1", plural: "pods" };
export const namespaces: Collection = { apiVersion: "v1", plural: "namespaces" };
export const serviceAccounts: Collection = { apiVersion: "v1", plural: "serviceaccounts" };

export interface AccessOptions {
  /** `https://127.0.0.1:port` */
  readonly url: string;
  readonly caPem: string;
  readonly token: string;
}

export interface RawCall {
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly body?: unknown;
  /** Of the body; default `application/json`. */
  readonly contentType?: string;
}

export interface DeleteOptions {
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  readonly gracePeriodSeconds?: number;
}

/**
 * A client of a test's own, so that what is tested is not looked at through itself. Everything throws `ApiError`: with
 * the status and reason of the answer, or status 0 where there is none within 15 s. Objects of no namespace: undefined.
 */
export interface KubeAdmin {
  request<T>(method: string, path: string, call?: RawCall): Promise<T>;
  /** Begins a GET whose answer goes on until the signal aborts, such as a watch: its body is the caller's to read. */
  open(path: string, query: NonNullable<RawCall["query"]>, signal: AbortSignal): Promise<IncomingMessage>;
  get<T extends KubeObject>(of: Collection, namespace: string | undefined, name: string): Promise<Stored<T>>;
  /** Like `get`; undefined where there is none. */
  find<T extends KubeObject>(
    of: Collection,
    namespace: string | undefined,
    name: string,
  ): Promise<Stored<T> | undefined>;
  /** Of one namespace, or (undefined) of all. */
  list<T extends KubeObject>(of: Collection, namespace?: string, labelSelector?: string): Promise<readonly Stored<T>[]>;
  /** Into the namespace that the object names. */
  create<T extends KubeObject>(of: Collection, object: T): Promise<Stored<T>>;
  /** Server-side, as the field manager "test", whoever else has set the fields. */
  apply<T extends KubeObject>(of: Collection, object: T): Promise<Stored<T>>;
  /** A merge patch of the object or of its subresource. */
  patch<T extends KubeObject>(
    of: Collection,
    namespace: string | undefined,
    name: string,
    change: object,
    subresource?: "status",
  ): Promise<Stored<T>>;
  /** Resolves when it is accepted. Where there is none, that is an ApiError with status 404. */
  delete(of: Collection, namespace: string | undefined, name: string, options?: DeleteOptions): Promise<void>;
  /** Waits until there is no such object any more. */
  gone(of: Collection, namespace: string | undefined, name: string, deadlineMs?: number): Promise<void>;
  /** Makes it and waits for its default ServiceAccount, before which no pod is let in. */
  createNamespace(name: string, labels?: Readonly<Record<string, string>>): Promise<void>;
  /** Its objects go with it, within some seconds; see `gone`. */
  deleteNamespace(name: string): Promise<void>;
  close(): void;
}

export function kubeAdmin(options: AccessOptions): KubeAdmin {
  const agent = new Agent({ keepAlive: true, ca: options.caPem, maxSockets: 16 });
  const send = async <T>(method: string, path: string, call: RawCall = {}): Promise<T> =>
    await exchange<T>({ options, agent, method, path, call });
  const pathOf = (of: Collection, namespace: string | undefined, name: string) =>
    `${collectionPath(of, namespace)}/${name}`;
  const admin: KubeAdmin = {
    request: send,
    open: async (path, query, signal) => {
      const answer = await sent({ options, agent, method: "GET", path, call: { query }, signal });
      if ((answer.statusCode ?? 0) < 400) return answer;
      throw new ApiError(answer.statusCode ?? 0, "Refused", `GET ${path}: ${await text(answer)}`);
    },
    get: (of, namespace, name) => send("GET", pathOf(of, namespace, name)),
    find: async (of, namespace, name) => await orUndefined(send("GET", pathOf(of, namespace, name))),
    async list<T extends KubeObject>(of: Collection, namespace?: string, labelSelector?: string) {
      const query = labelSelector === undefined ? {} : { labelSelector };
      const { items } = await send<{ items: Stored<T>[] }>("GET", collectionPath(of, namespace), { query });
      return items;
    },
    create: (of, object) => send("POST", collectionPath(of, object.metadata.namespace), { body: object }),
    apply: (of, object) =>
      send("PATCH", pathOf(of, object.metadata.namespace, object.metadata.name), {
        query: { fieldManager: "test", force: true },
        contentType: "application/apply-patch+yaml",
        body: object,
      }),
    patch: (of, namespace, name, body, subresource) =>
      send("PATCH", `${pathOf(of, namespace, name)}${subresource === undefined ? "" : `/${subresource}`}`, {
        contentType: "application/merge-patch+json",
        body,
      }),
    delete: async (of, namespace, name, body = {}) =>
      void (await send("DELETE", pathOf(of, namespace, name), { body })),
    async gone(of, namespace, name, deadlineMs = 30_000) {
      const absent = async () => (await admin.find(of, namespace, name)) === undefined;
      await until(absent, { what: `${of.plural}/${name} is gone`, deadlineMs });
    },
    async createNamespace(name, labels = {}) {
      await admin.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
      const found = async () => (await admin.find(serviceAccounts, name, "default")) !== undefined;
      await until(found, { what: `the default ServiceAccount of ${name}`, deadlineMs: 20_000 });
    },
    deleteNamespace: async (name) => await admin.delete(namespaces, undefined, name),
    close: () => agent.destroy(),
  };
  return admin;
}

async function orUndefined<T>(wanted: Promise<T>): Promise<T | undefined> {
  try {
    return await wanted;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

interface Exchange {
  readonly options: AccessOptions;
  readonly agent: Agent;
  readonly method: string;
  readonly path: string;
  readonly call: RawCall;
  /** Default: a limit of 15 s. */
  readonly signal?: AbortSignal;
}

async function exchange<T>(wanted: Exchange): Promise<T> {
  const { method, path } = wanted;
  let status: number;
  let body: string;
  try {
    const answer = await whenReady(wanted);
    status = answer.statusCode ?? 0;
    body = await text(answer);
  } catch (cause) {
    throw new ApiError(0, "NoAnswer", `${method} ${path}: ${(cause as Error).message}`, { cause });
  }
  const json = body.startsWith("{") ? (JSON.parse(body) as unknown) : body;
  if (status < 400) return json as T;
  const { reason, message } = (typeof json === "object" ? json : {}) as { reason?: string; message?: string };
  throw new ApiError(status, reason ?? String(status), `${method} ${path}: ${status} ${message ?? body}`);
}

/** What is read anew where the server asks for that, as it does for a second after a CRD has changed. */
async function whenReady(wanted: Exchange): Promise<IncomingMessage> {
  const limited = { ...wanted, signal: wanted.signal ?? AbortSignal.timeout(LIMIT_MS) };
  for (;;) {
    const answer = await sent(limited);
    const seconds = answer.headers["retry-after"];
    if (wanted.method !== "GET" || answer.statusCode !== 429 || seconds === undefined) return answer;
    answer.resume();
    await setTimeout(Number(seconds) * 1000, undefined, { signal: limited.signal });
  }
}

async function sent(wanted: Exchange): Promise<IncomingMessage> {
  const { options, agent, method, path, call, signal = AbortSignal.timeout(LIMIT_MS) } = wanted;
  const url = new URL(path, options.url);
  for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, String(value));
  const content = call.body === undefined ? undefined : JSON.stringify(call.body);
  const headers = {
    authorization: `Bearer ${options.token}`,
    accept: "application/json",
    // The length must be said: Node sends a DELETE's body without any framing otherwise, and it is taken for a request.
    ...(content === undefined
      ? {}
      : { "content-type": call.contentType ?? "application/json", "content-length": Buffer.byteLength(content) }),
  };
  return await new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, agent, signal }, resolve);
    outgoing.once("error", (error: NodeJS.ErrnoException) => {
      // The server, or an earlier one at the same port, closed the connection while it was unused.
      if (outgoing.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE")) resolve(sent(wanted));
      else reject(error);
    });
    outgoing.end(content);
  });
}
