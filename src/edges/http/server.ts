import { randomUUID } from "node:crypto";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { ApiCall, SessionView } from "../../flows/api-calls.ts";
import { GatewayError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { SessionKey } from "../../sessions/session-key.ts";
import { parseSessionHeader } from "../../sessions/session-key-parse.ts";
import type { ApiDeps } from "./api.ts";
import type { ScrapedMetrics } from "./metrics.ts";
import { routes } from "./routes.ts";

export interface HttpOptions extends ApiDeps {
  readonly address: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** The cluster that session names are in. */
  readonly cluster: string;
  readonly log: Log;
  readonly metrics: ScrapedMetrics;
}

export interface HttpServer {
  readonly address: string;
  readonly port: number;
  /** Takes no new calls, lets those under way end for up to `graceMs` (default 1000), then cuts them. */
  close(graceMs?: number): Promise<void>;
}

/** Limits of one connection and one request; nothing that this side answers to needs more. */
const limits = { bodyBytes: 4096, headerMs: 5000, requestMs: 10_000, idleMs: 30_000, connections: 1000 } as const;
const decisionIds = new WeakMap<FastifyRequest, string>();

/** Starts the HTTP side. @throws NodeJS.ErrnoException where the address cannot be bound */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const server = Fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestMs,
    connectionTimeout: limits.idleMs,
    keepAliveTimeout: limits.idleMs,
    routerOptions: { maxParamLength: 253 },
    exposeHeadRoutes: true,
    http: { headersTimeout: limits.headerMs, maxHeaderSize: 160 * 1024 },
  });
  server.server.maxConnections = limits.connections;
  // No call has a body worth reading: a body of any type is refused.
  server.removeAllContentTypeParsers();
  server.addHook("onRequest", async (request, reply) => {
    const id = randomUUID();
    decisionIds.set(request, id);
    reply.header("x-gatehouse-decision-id", id).header("cache-control", "no-store");
  });
  server.setErrorHandler((error, request, reply) => answerError(options.log, error, request, reply));
  server.setNotFoundHandler((request, reply) =>
    answerError(options.log, new GatewayError("HTTP_PATH_UNKNOWN", "no such path or method"), request, reply),
  );
  addOpenRoutes(server, options);
  addSecuredRoutes(server, options);
  await server.listen({ host: options.address, port: options.port }).catch((cause: unknown) => {
    const why = (cause as NodeJS.ErrnoException).code === "EADDRINUSE" ? "it is in use" : String(cause);
    throw new Error(`http: cannot listen on ${options.address}:${options.port}: ${why}`, { cause });
  });
  const bound = server.server.address();
  if (bound === null || typeof bound === "string") throw new TypeError("the HTTP side is not bound to a port");
  return { address: bound.address, port: bound.port, close: (graceMs = 1000) => close(server, graceMs) };
}

function addOpenRoutes(server: FastifyInstance, options: HttpOptions): void {
  const { health, ready, metrics: scrape } = routes;
  server.get(health.path, { schema: { response: health.answers } }, () => ({ status: "ok" }));
  server.get(ready.path, { schema: { response: ready.answers } }, (_, reply) => {
    const reasons = options.notReady();
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .send({ ready: reasons.length === 0, reasons, warnings: options.warnings() });
  });
  server.get(scrape.path, async (_, reply) =>
    reply.type(options.metrics.contentType).send(await options.metrics.text()),
  );
}

function addSecuredRoutes(server: FastifyInstance, options: HttpOptions): void {
  const { keepalive, sessions } = routes;
  server.get(sessions.path, { schema: { response: sessions.answers } }, async (request, reply) => {
    const views = await options.sessions(apiCall(request, reply, "ListSessions"));
    return { sessions: views.map(render) };
  });
  server.post<{ Params: { namespace: string; app: string } }>(
    keepalive.path.replace(/\{(\w+)\}/g, ":$1"),
    { schema: { params: keepalive.params } },
    async (request, reply) => {
      const { namespace, app } = request.params;
      const key: SessionKey = { cluster: options.cluster, ...parseSessionHeader(`${namespace}/${app}`) };
      await options.keepalive(apiCall(request, reply, "Keepalive"), key);
      return reply.code(204).send();
    },
  );
}

function apiCall(request: FastifyRequest, reply: FastifyReply, method: ApiCall["method"]): ApiCall {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  const decisionId = decisionIds.get(request) ?? randomUUID();
  const sent = request.headers["x-request-id"];
  // Node keeps only the first of several authorization headers: all must be seen, so that several can be refused.
  const { authorization, authentication } = request.raw.headersDistinct;
  return {
    decisionId,
    requestId: typeof sent === "string" && /^[\w-]{1,64}$/.test(sent) ? sent : decisionId,
    sourceAddress: request.socket.remoteAddress ?? "",
    method,
    headers: {
      ...(authorization === undefined ? {} : { authorization: authorization.join(",") }),
      ...(authentication === undefined ? {} : { authentication: authentication.join(",") }),
    },
    signal: gone.signal,
  };
}

function render(view: SessionView): object {
  const time = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString());
  return {
    session: view.key,
    owner: view.owner,
    profile: view.profile,
    driver: view.driver,
    driver_uid: view.driverUid,
    phase: view.phase,
    created: time(view.createdAt),
    last_active: time(view.lastActive),
    busy: view.busy,
    idle_deadline: time(view.idleDeadline),
    ttl_deadline: time(view.ttlDeadline),
  };
}

/** Every error in one form. Only a GatewayError's message is shown; what fastify refuses keeps its status. */
function answerError(log: Log, thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const decisionId = decisionIds.get(request) ?? randomUUID();
  const refused = fastifyRefusal(thrown);
  const error = refused ?? GatewayError.from(thrown);
  const status = refused === undefined ? error.httpStatus : (thrown as { statusCode: number }).statusCode;
  if (error.reason === "INTERNAL") log.error("an HTTP call failed", { decision_id: decisionId, error: error.cause });
  if (error.retryAfterMs !== undefined) reply.header("retry-after", Math.ceil(error.retryAfterMs / 1000));
  if (status === 401) reply.header("www-authenticate", "Bearer");
  return reply
    .code(status)
    .type("application/json; charset=utf-8")
    .send(JSON.stringify({ error: { reason: error.reason, message: error.message, decision_id: decisionId } }));
}

function fastifyRefusal(thrown: unknown): GatewayError | undefined {
  const { statusCode, code } = (thrown ?? {}) as { statusCode?: unknown; code?: unknown };
  const isRefusal = typeof code === "string" && code.startsWith("FST_") && typeof statusCode === "number";
  if (thrown instanceof GatewayError || !isRefusal || statusCode >= 500) return undefined;
  return new GatewayError("HTTP_REQUEST_INVALID", "the request is malformed", { cause: thrown });
}

async function close(server: FastifyInstance, graceMs: number): Promise<void> {
  const cut = setTimeout(() => server.server.closeAllConnections(), graceMs);
  await server.close();
  clearTimeout(cut);
}
