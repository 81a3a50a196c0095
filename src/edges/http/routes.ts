import { errorBody, healthBody, keepaliveParams, readyBody, sessionsBody } from "./schemas.ts";

interface RouteSpec {
  readonly method: "GET" | "POST";
  /** In OpenAPI's form: `{name}` for parameters. */
  readonly path: string;
  readonly summary: string;
  /** Whether a bearer token is needed. */
  readonly secured: boolean;
  readonly params?: { readonly properties: Readonly<Record<string, object>> };
  /** Bodies by status; null where there is none; a string is the content type of a body that is not JSON. */
  readonly answers: Readonly<Record<number, object | string | null>>;
}

const refused = {
  400: errorBody,
  401: errorBody,
  403: errorBody,
  503: errorBody,
} as const;

/** Everything that the HTTP side answers to. */
export const routes = {
  health: {
    method: "GET",
    path: "/healthz",
    summary: "Answers as long as the process is alive.",
    secured: false,
    answers: { 200: healthBody },
  },
  ready: {
    method: "GET",
    path: "/readyz",
    summary: "Whether this replica can serve; 503 with the reasons while it cannot.",
    secured: false,
    answers: { 200: readyBody, 503: readyBody },
  },
  metrics: {
    method: "GET",
    path: "/metrics",
    summary: "All metrics in the Prometheus text format.",
    secured: false,
    answers: { 200: "text/plain; version=0.0.4; charset=utf-8" },
  },
  sessions: {
    method: "GET",
    path: "/v1/sessions",
    summary: "The caller's sessions that have a driver; an administrator gets everybody's.",
    secured: true,
    answers: { 200: sessionsBody, ...refused },
  },
  keepalive: {
    method: "POST",
    path: "/v1/sessions/{namespace}/{app}/keepalive",
    summary: "Counts as a use of the session, so that it is not idle.",
    secured: true,
    params: keepaliveParams,
    answers: { 204: null, ...refused },
  },
} as const satisfies Record<string, RouteSpec>;

/** The OpenAPI description of the HTTP side, made from the same table that the server is made from. */
export function openApi(version: string): object {
  const paths = new Map<string, Record<string, object>>();
  for (const [operationId, route] of Object.entries<RouteSpec>(routes)) {
    const operations = paths.get(route.path) ?? {};
    operations[route.method.toLowerCase()] = operation(operationId, route);
    paths.set(route.path, operations);
  }
  return {
    openapi: "3.0.3",
    info: { title: "Gatehouse", version },
    paths: Object.fromEntries(paths),
    components: { securitySchemes: { bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" } } },
  };
}

function operation(operationId: string, route: RouteSpec): object {
  const params = route.params?.properties ?? {};
  return {
    operationId,
    summary: route.summary,
    ...(route.secured ? { security: [{ bearer: [] }] } : {}),
    parameters: Object.entries(params).map(([name, schema]) => ({ name, in: "path", required: true, schema })),
    responses: Object.fromEntries(
      Object.entries(route.answers).map(([status, body]) => [status, response(Number(status), body)]),
    ),
  };
}

function response(status: number, body: object | string | null): object {
  const description = status < 300 ? "Done." : status === 503 ? "Not possible now." : "Refused.";
  if (body === null) return { description };
  const content =
    typeof body === "string" ? { [body]: { schema: { type: "string" } } } : { "application/json": { schema: body } };
  return { description, content };
}
