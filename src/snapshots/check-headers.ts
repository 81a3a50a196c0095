/**
 * The headers that ext_authz and Gatehouse's Check speak to each other in. Envoy takes from an answer what is named here and
 * nothing else.
 */

/**
 * In a question: the client's address without port. Envoy writes it for every client, since nobody counts as internal; a client's
 * own of that name is gone before.
 */
export const sourceAddressHeader = "x-envoy-external-address";

/**
 * A question that waits is answered after each turn with a status and a header upon which Envoy asks again, within `pauseMs`. One
 * that gets no answer at all within `limitMs` fails: Gatehouse hangs, or is gone without a word. Every other 5xx is a failure, too.
 */
export const checkTurns = {
  turnMs: 3000,
  pauseMs: 200,
  limitMs: 7000,
  againStatus: 503,
  againHeader: "x-envoy-ratelimited",
  retryOn: "envoy-ratelimited",
} as const;

/** In an allow: the cluster that the route takes. A client's own of that name is gone before any filter runs. */
export const clusterHeader = "x-gatehouse-cluster";

/** In an allow: set for the driver. */
export const setForDriver = [clusterHeader, "authorization"] as const;

/** In an allow: names that the driver must not see, with commas between them. Envoy's own name for it. */
export const removedForDriverHeader = "x-envoy-auth-headers-to-remove";

/** In a refusal: what the client gets. */
export const shownToRefused = [
  "grpc-status",
  "grpc-message",
  "grpc-status-details-bin",
  "x-gatehouse-decision-id",
] as const;

/**
 * In every answer; each becomes a text in ext_authz's dynamic metadata, under its own name. The routes look at `inspect`, which is
 * "true" or "false", and `decision_id`; all other facts of a decision are one header, because each costs Envoy as much as the next.
 */
export const metadataHeaders = ["inspect", "decision_id", "facts"] as const;

/**
 * Never asked about, because they would say something about the question itself instead of the call: how long its body is, what
 * the connection is to become. HTTP/2 has half of them no more. `host`: the call's own comes from `:authority`.
 *
 * `content-type` above all: Envoy takes a question with that of gRPC for a gRPC call of its own, answers it itself in gRPC's way where
 * Gatehouse does not (no connection, too late), and that has HTTP status 200, which lets the call through.
 */
export const neverAsked = [
  "connection",
  "content-length",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
] as const;
