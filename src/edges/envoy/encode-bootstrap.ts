import { typeUrls } from "../../snapshots/resource.ts";
import type { ControlEndpoint } from "../../snapshots/settings.ts";
import { address, controlCluster } from "../../snapshots/shared.ts";
import { toProtoJson } from "./encode.ts";

export interface BootstrapSettings {
  /** Unique among the Envoys of an installation; shows up in Gatehouse's log. */
  readonly nodeId: string;
  readonly ads: ControlEndpoint;
  /** `unix:/path` or `127.0.0.1:port` (0: any free one). Whoever reaches it owns this Envoy. */
  readonly admin: string;
  /** Client connections at once; more are refused. */
  readonly maxConnections: number;
}

/**
 * Envoy's start-up configuration (JSON, for `envoy -c`): who it is, where ADS is, its admin port, and the limits that
 * cannot come over ADS. Everything else does.
 */
export function bootstrapOf(settings: BootstrapSettings): object {
  const fromAds = { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" };
  return {
    node: { id: settings.nodeId, cluster: "gatehouse" },
    admin: { address: address(settings.admin) },
    dynamic_resources: {
      ads_config: {
        api_type: "DELTA_GRPC",
        transport_api_version: "V3",
        set_node_on_first_message_only: true,
        grpc_services: [
          {
            envoy_grpc: {
              cluster_name: "gatehouse-ads",
              // By default Envoy waits up to 30 s before it comes back to a Gatehouse that was away.
              retry_policy: { retry_back_off: { base_interval: "0.2s", max_interval: "2s" } },
            },
          },
        ],
      },
      cds_config: fromAds,
      lds_config: fromAds,
    },
    static_resources: {
      clusters: [toProtoJson(typeUrls.cluster, controlCluster("gatehouse-ads", settings.ads))],
    },
    // Counters of a cluster's traffic are made with the first call to it. All drivers share theirs, so this counts for what is
    // pushed before the first call to any of them: a fresh Envoy takes 10,000 drivers with two thirds of the work.
    deferred_stat_options: { enable_deferred_creation_stats: true },
    // Without it Envoy resets every ext_proc stream, and after 1,000 resets Node ends the connection with all its calls.
    layered_runtime: {
      layers: [{ name: "gatehouse", static_layer: { "envoy.reloadable_features.ext_proc_graceful_grpc_close": true } }],
    },
    overload_manager: {
      resource_monitors: [
        {
          name: "envoy.resource_monitors.global_downstream_max_connections",
          typed_config: {
            "@type":
              "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            max_active_downstream_connections: settings.maxConnections,
          },
        },
      ],
    },
  };
}
