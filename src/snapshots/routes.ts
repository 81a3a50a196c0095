import { sparkMethods } from "../spark/methods.ts";
import { clusterHeader, sourceAddressHeader } from "./check-headers.ts";
import { any, duration } from "./messages.ts";
import type { Message } from "./resource.ts";
import type { SnapshotSettings } from "./settings.ts";

/**
 * Headers that Gatehouse or Envoy added and that are no driver's business. Not x-request-id: the access log takes a
 * stream's id from it, until the end.
 */
const removedBeforeDriver = [
  clusterHeader,
  "x-forwarded-for",
  "x-forwarded-proto",
  sourceAddressHeader,
  "x-spark-session-id",
  "authentication",
];

/**
 * The exact methods of Spark Connect; all else meets the deciding filter too (which refuses and audits it) and then this
 * 404. Where one filter decides and inspects, a call that needs no inspection goes through it all the same.
 */
export function routeConfiguration(mode: SnapshotSettings["inspection"]): Message {
  const fused = mode === "fused";
  return {
    name: "gatehouse",
    virtual_hosts: [
      {
        name: "spark-connect",
        domains: ["*"],
        routes: [
          ...sparkMethods.flatMap(({ name, path }) =>
            fused ? [inspected(name, path)] : [uninspected(name, path), inspected(name, path)],
          ),
          { name: "other", match: { prefix: "/" }, direct_response: { status: 404 } },
        ],
      },
    ],
    response_headers_to_add: [decisionId(fused ? "gatehouse" : "envoy.filters.http.ext_authz")],
    request_headers_to_remove: removedBeforeDriver,
  };
}

/**
 * From the metadata: ext_proc cannot add to an answer that it does not see, and what ext_authz adds would stand beside what ext_proc
 * says in a refusal.
 */
const decisionId = (namespace: string): Message => ({
  header: { key: "x-gatehouse-decision-id", value: `%DYNAMIC_METADATA(${namespace}:decision_id)%` },
  append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
});

function inspected(name: string, path: string): Message {
  return { name, match: { path }, route: toDriver };
}

/** Taken only where Check's own metadata says so; whatever else is there, or nothing at all, means inspection. */
function uninspected(name: string, path: string): Message {
  return {
    name: `${name}-uninspected`,
    match: {
      path,
      dynamic_metadata: [
        {
          filter: "envoy.filters.http.ext_authz",
          path: [{ key: "inspect" }],
          value: { string_match: { exact: "false" } },
        },
      ],
    },
    route: toDriver,
    typed_per_filter_config: {
      "envoy.filters.http.ext_proc": any("envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute", {
        disabled: true,
      }),
    },
  };
}

/** No limit of time of ours: streams last for hours. A client's own grpc-timeout goes on to the driver. */
const toDriver: Message = {
  cluster_header: clusterHeader,
  timeout: duration(0),
  idle_timeout: duration(0),
  max_stream_duration: { max_stream_duration: duration(0) },
};
