import { checkTurns, metadataHeaders, neverAsked, setForDriver, shownToRefused } from "./check-headers.ts";
import { any, duration, wrapped } from "./messages.ts";
import type { Message } from "./resource.ts";
import type { SnapshotSettings } from "./settings.ts";
import { fromAds, grpcService } from "./shared.ts";

/** Inspection goes by the decision alone and needs no header: this one no request has, as the listener removes it. */
const noHeader = "x-gatehouse-none";

/** In the order in which a call passes them. */
export function httpFilters(settings: SnapshotSettings): Message[] {
  // The look-up comes straight after what names the cluster. What asks for the route in between has Envoy remember for this
  // call that its cluster is not there; if that comes meanwhile, Envoy looks up what it has already, and of several calls
  // that wait for the same cluster on one worker it lets go the first alone. The others would wait for ever.
  const deciding =
    settings.inspection === "fused"
      ? [inspection(decidingToo), lookUp()]
      : [filter("envoy.filters.http.ext_authz", decide(settings)), lookUp(), inspection(byDecision)];
  return [
    ...deciding,
    filter("envoy.filters.http.router", any("envoy.extensions.filters.http.router.v3.Router", routerOptions)),
  ];
}

// Envoy's own headers (expected timeout, service time) tell a driver and a client nothing that they need.
const routerOptions = { suppress_envoy_headers: true };

function filter(name: string, config: Message): Message {
  return { name, typed_config: config };
}

/**
 * Asks over plain HTTP/1.1, which costs Gatehouse half of what a gRPC call does. Fails closed: no answer, or an answer of 5xx, is
 * a 503, which a gRPC client sees as UNAVAILABLE.
 */
function decide(settings: SnapshotSettings): Message {
  return any("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", {
    http_service: {
      server_uri: {
        uri: "http://gatehouse-check",
        cluster: "gatehouse-check",
        timeout: duration(settings.holdLimitMs + 5000),
      },
      authorization_request: {
        // An order to Envoy itself, which does not leave it.
        headers_to_add: [{ key: "x-envoy-upstream-rq-per-try-timeout-ms", value: String(checkTurns.limitMs) }],
      },
      authorization_response: {
        allowed_upstream_headers: named(setForDriver),
        allowed_client_headers: named(shownToRefused),
        dynamic_metadata_from_headers: named(metadataHeaders),
      },
      retry_policy: {
        retry_on: checkTurns.retryOn,
        // By default Envoy would wait for seconds, and Gatehouse take the call for given up.
        retry_back_off: { base_interval: duration(50), max_interval: duration(checkTurns.pauseMs) },
        num_retries: wrapped(Math.ceil(settings.holdLimitMs / checkTurns.turnMs) + 10),
      },
    },
    transport_api_version: "V3",
    // All of them: the answer names those that the driver must not see.
    allowed_headers: { patterns: [{ safe_regex: { regex: ".*" } }] },
    disallowed_headers: { patterns: [{ safe_regex: { regex: neverAsked.join("|") } }] },
    failure_mode_allow: false,
    status_on_error: { code: "ServiceUnavailable" },
    // The route depends on the cluster header that the answer sets; without this a client's own header would win.
    clear_route_cache: true,
    validate_mutations: true,
    // The access log's stream_id is this header's value, at every entry: without it no stream is known to be alive.
    decoder_header_mutation_rules: { disallow_expression: { regex: "x-request-id" } },
    include_peer_certificate: false,
  });
}

const named = (names: readonly string[]): Message => ({ patterns: names.map((exact) => ({ exact })) });

function inspection(particulars: Message): Message {
  return filter("envoy.filters.http.ext_proc", inspect(particulars));
}

function inspect(particulars: Message): Message {
  return any("envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor", {
    grpc_service: grpcService("gatehouse-process"),
    failure_mode_allow: false,
    status_on_error: { code: "ServiceUnavailable" },
    processing_mode: {
      request_header_mode: "SEND",
      request_body_mode: "FULL_DUPLEX_STREAMED",
      request_trailer_mode: "SEND",
      response_header_mode: "SKIP",
      response_body_mode: "NONE",
      response_trailer_mode: "SKIP",
    },
    allow_mode_override: false,
    ...particulars,
  });
}

const byDecision: Message = {
  forward_rules: { allowed_headers: { patterns: [{ exact: noHeader }] } },
  // The decision, made by ext_authz: a client cannot put anything in there.
  metadata_options: { forwarding_namespaces: { untyped: ["envoy.filters.http.ext_authz"] } },
};

/** All headers are sent, and the answer may change all that it must: the cluster, the credential, what is removed. */
const decidingToo: Message = {
  request_attributes: ["source.address"],
  // What was decided, for the access log and the routes.
  metadata_options: { receiving_namespaces: { untyped: ["gatehouse"] } },
  mutation_rules: {
    allow_envoy: wrapped(true),
    disallow_expression: { regex: "x-request-id" },
    disallow_is_error: wrapped(true),
  },
};

/**
 * A decision may name a cluster that is published in this very moment: ask for it instead of failing. Gatehouse answers
 * within 2 s; Envoy waits out its time without asking when it knows the name from before.
 */
function lookUp(): Message {
  const odcds = { source: fromAds(), timeout: duration(3000) };
  return filter("envoy.filters.http.on_demand", any("envoy.extensions.filters.http.on_demand.v3.OnDemand", { odcds }));
}
