import type { CatalogDriver } from "../drivers/catalog.ts";
import { driverClusterName, isDriverClusterName } from "./cluster-name.ts";
import { duration, wrapped } from "./messages.ts";
import { remember } from "./remember.ts";
import type { Message } from "./resource.ts";
import type { SnapshotSettings } from "./settings.ts";
import { circuitBreakers, fromAds, http2, socketAddress } from "./shared.ts";

/** A driver as Envoy sees it. */
export interface DriverResources {
  readonly name: string;
  readonly cluster: Message;
  readonly endpoints: Message;
}

const ipAddress = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]+)$/;

/** Why this driver cannot be offered, or undefined. */
export function faultOf(driver: CatalogDriver): string | undefined {
  const { address } = driver;
  if (!isDriverClusterName(driverClusterName(driver))) return "its key or uid is not well-formed";
  if (!ipAddress.test(address.host)) return `its address is not an IP address: ${address.host}`;
  if (!Number.isInteger(address.port) || address.port < 1 || address.port > 65535) return "its port is not valid";
  return undefined;
}

/**
 * The cluster and endpoints of a routable driver; the same objects for the same arguments. The cluster depends on nothing
 * that can change in the driver's life (a changed EDS cluster would warm for 15 s); all that changes is in the endpoints.
 */
export function driverResources(driver: CatalogDriver, settings: SnapshotSettings): DriverResources {
  const known = madeFor(settings);
  const made = known.get(driver) ?? make(driver, settings);
  known.set(driver, made);
  return made;
}

const madeFor = remember((_settings: SnapshotSettings) => new WeakMap<CatalogDriver, DriverResources>());

function make(driver: CatalogDriver, settings: SnapshotSettings): DriverResources {
  const name = driverClusterName(driver);
  // All that is not the name is one and the same object for all drivers: thousands cost their names.
  return { name, cluster: { name, ...clusterShape(settings) }, endpoints: endpoints(name, driver) };
}

const clusterShape = remember(
  (settings: SnapshotSettings): Message => ({
    // One set of statistics for all drivers: half the memory, and no session names in metrics.
    alt_stat_name: "driver",
    type: "EDS",
    // Endpoints always follow at once; should they not, the cluster must not hold back the others for 15 s.
    eds_cluster_config: { eds_config: fromAds(2000) },
    connect_timeout: duration(2000),
    // One endpoint: "panic" would send requests to a host that is known to be unusable.
    common_lb_config: { healthy_panic_threshold: { value: 0 } },
    circuit_breakers: circuitBreakers(settings.limits.maxRequestsPerDriver),
    // A driver whose machine vanished without a word is noticed after 105 s; the PING below is far slower.
    upstream_connection_options: {
      tcp_keepalive: { keepalive_probes: wrapped(3), keepalive_time: wrapped(60), keepalive_interval: wrapped(15) },
    },
    typed_extension_protocol_options: http2({
      // Spark's server counts more than one PING in 5 minutes as abuse while its streams are silent, and closes the
      // connection at the third: a long query that sends nothing would die with it.
      connection_keepalive: { interval: duration(330_000), timeout: duration(15_000) },
      initial_stream_window_size: wrapped(1024 * 1024),
      initial_connection_window_size: wrapped(4 * 1024 * 1024),
    }),
  }),
);

function endpoints(name: string, { address }: CatalogDriver): Message {
  const endpoint = { address: socketAddress(address.host, address.port) };
  return { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] };
}
