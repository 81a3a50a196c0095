import type { GrpcStatusName } from "./grpc-status.ts";

/** How one reason is answered, on gRPC and on HTTP. */
interface ReasonSpec {
  readonly grpc: GrpcStatusName;
  readonly http: number;
  /** One sentence for the generated reference: what happened and what to change. */
  readonly doc: string;
}

const spec = (grpc: GrpcStatusName, http: number, doc: string): ReasonSpec => ({ grpc, http, doc });

/**
 * The one registry of reasons: every allow, deny and error names one of these. They are a public contract (audit records,
 * metrics labels, ErrorInfo.reason), so a reason may be added but its meaning never changes.
 */
export const reasons = {
  // Allowed
  OWNER: spec("OK", 200, "The caller owns the session."),
  GROUP_SHARED: spec("OK", 200, "The session is shared with one of the caller's groups."),
  ADMIN: spec("OK", 200, "The caller is an administrator."),
  CREATED: spec("OK", 200, "A creation rule let the caller start this session's driver."),
  STAMPED: spec("OK", 200, "The request was well-formed and went on to the driver under the verified identity."),

  // Who is calling
  TOKEN_MISSING: spec("UNAUTHENTICATED", 401, "No bearer token was sent. Put token=<jwt> into the connection URL."),
  CREDENTIALS_AMBIGUOUS: spec(
    "UNAUTHENTICATED",
    401,
    "More than one credential was sent. Send exactly one of authorization and authentication.",
  ),
  TOKEN_TOO_LARGE: spec("UNAUTHENTICATED", 401, "The token is larger than identity.max_token_bytes."),
  TOKEN_MALFORMED: spec(
    "UNAUTHENTICATED",
    401,
    "The credential is not a signed JWT, or carries extensions (crit) that are not supported.",
  ),
  TOKEN_ALGORITHM_REFUSED: spec(
    "UNAUTHENTICATED",
    401,
    "The token's signature algorithm is not among the issuer's configured algorithms.",
  ),
  TOKEN_ISSUER_UNKNOWN: spec("UNAUTHENTICATED", 401, "The token's issuer is not configured."),
  TOKEN_AUDIENCE_WRONG: spec("UNAUTHENTICATED", 401, "The token is meant for another audience."),
  TOKEN_KEY_UNKNOWN: spec("UNAUTHENTICATED", 401, "The issuer has no key with the token's key id."),
  TOKEN_SIGNATURE_INVALID: spec("UNAUTHENTICATED", 401, "The token's signature does not verify."),
  TOKEN_EXPIRED: spec("UNAUTHENTICATED", 401, "The token has expired. Get a new one and reconnect."),
  TOKEN_NOT_YET_VALID: spec("UNAUTHENTICATED", 401, "The token is not valid yet. Check the clocks."),
  TOKEN_CLAIM_INVALID: spec("UNAUTHENTICATED", 401, "A claim that Gatehouse needs is missing or has the wrong form."),
  ISSUER_UNAVAILABLE: spec(
    "UNAVAILABLE",
    503,
    "The issuer's keys could not be fetched and the token's key is not known yet. Try again.",
  ),

  // What is asked for
  METHOD_UNKNOWN: spec("UNIMPLEMENTED", 404, "The path is not a Spark Connect method."),
  SESSION_KEY_INVALID: spec(
    "INVALID_ARGUMENT",
    400,
    "The session name is malformed. Use x-spark-session-id=<namespace>.<app>.",
  ),
  SESSION_KEY_CONFLICT: spec("INVALID_ARGUMENT", 400, "The session header and the host name name different sessions."),
  SESSION_KEY_NEEDED: spec(
    "INVALID_ARGUMENT",
    400,
    "No session was named and the caller has no default session (no team).",
  ),
  SESSION_FORBIDDEN: spec("PERMISSION_DENIED", 403, "The session does not exist or the caller may not use it."),
  HTTP_REQUEST_INVALID: spec("INVALID_ARGUMENT", 400, "The HTTP request is malformed, too large or too slow."),
  HTTP_PATH_UNKNOWN: spec(
    "UNIMPLEMENTED",
    404,
    "The HTTP side has no such path or method; docs/reference/http.md lists all.",
  ),

  // Drivers
  NOT_READY: spec("UNAVAILABLE", 503, "Gatehouse has not read all drivers yet. Try again."),
  ON_DEMAND_DISABLED: spec("FAILED_PRECONDITION", 412, "The session has no driver and on_demand.enabled is false."),
  DRIVER_ABSENT: spec(
    "FAILED_PRECONDITION",
    412,
    "The session has no driver and this call, which only follows up on earlier work, does not start one.",
  ),
  DRIVER_STARTING: spec(
    "UNAVAILABLE",
    503,
    "The driver is still starting when the holding limit is reached. Try again.",
  ),
  HOLD_LIMIT: spec("UNAVAILABLE", 503, "Too many calls are already waiting for drivers. Try again."),
  DRIVER_FAILED: spec("FAILED_PRECONDITION", 412, "The driver could not start; the message says why."),
  DRIVER_DRAINING: spec(
    "FAILED_PRECONDITION",
    412,
    "The driver is ending (maximum lifetime or deletion): finish what runs, then reconnect.",
  ),
  DRIVER_TOKENLESS: spec(
    "FAILED_PRECONDITION",
    412,
    "The driver has no token of its own and its profile does not allow that.",
  ),
  DRIVER_LIMIT: spec("UNAVAILABLE", 503, "As many drivers as the runtime may hold are running. Try again or stop one."),
  SESSION_CHANGED: spec("INTERNAL", 410, "The driver that held this Spark session is gone. Create a new SparkSession."),

  // What is inside the requests
  MESSAGE_MALFORMED: spec("INVALID_ARGUMENT", 400, "A request message is not a well-formed Spark Connect message."),
  MESSAGE_COMPRESSED: spec(
    "UNIMPLEMENTED",
    501,
    "Compressed request messages are not supported. Switch compression off in the client.",
  ),
  MESSAGE_TOO_LARGE: spec("RESOURCE_EXHAUSTED", 413, "A request message is larger than inspection.max_message_bytes."),
  DECISION_MISSING: spec("INTERNAL", 500, "A request body arrived without a decision about its headers."),

  // Ourselves
  AUDIT_UNAVAILABLE: spec("UNAVAILABLE", 503, "The audit record could not be written, so the call is refused."),
  RECORD_UNAVAILABLE: spec(
    "UNAVAILABLE",
    503,
    "What keeps the driver alive could not be stored, so a streaming query is not started. Try again.",
  ),
  SHUTTING_DOWN: spec("UNAVAILABLE", 503, "This replica is shutting down. Try again."),
  REQUEST_CANCELLED: spec("CANCELLED", 499, "The caller went away before a decision was made."),
  INTERNAL: spec("INTERNAL", 500, "Internal error; the decision id finds its cause in the log."),
} as const satisfies Record<string, ReasonSpec>;

export type Reason = keyof typeof reasons;
