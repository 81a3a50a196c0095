import { toProtoJson } from "../../src/edges/envoy/encode.ts";
import { driverResources } from "../../src/snapshots/driver-clusters.ts";
import { listener } from "../../src/snapshots/listener.ts";
import { typeUrls } from "../../src/snapshots/resource.ts";
import { defaultListenerLimits, type SnapshotSettings } from "../../src/snapshots/settings.ts";
import { controlCluster } from "../../src/snapshots/shared.ts";

/**
 * What stands in an Envoy's way: nothing; Envoy's own jwt_authn, without and with its cache; the Go server behind ext_authz,
 * without and with a record of each decision.
 */
export type PeerKind = "none" | "jwt" | "jwt-cached" | "authz" | "authz-audited";

export interface PeerBootstrap {
  readonly certificates: { readonly certFile: string; readonly keyFile: string };
  readonly upstream: { readonly host: string; readonly port: number };
  readonly issuer: { readonly issuer: string; readonly audience: string; readonly jwks: object };
  /** Tokens that jwt_authn's cache holds. */
  readonly remembered: number;
  /** `unix:/path` of the Go server. */
  readonly check: string;
}

type Json = Readonly<Record<string, unknown>>;

interface ListenerJson extends Json {
  readonly filter_chains: readonly [
    {
      readonly filters: readonly [{ readonly name: string; readonly typed_config: Json }];
      readonly transport_socket: { readonly name: string; readonly typed_config: Json };
    },
  ];
}

interface HttpFilter {
  readonly name: string;
  readonly typed_config: object;
}

/**
 * An Envoy without a control plane. Its listener and its cluster are Gatehouse's own (TLS, HTTP/2 settings, limits, what is
 * made of callers' headers), so that only what decides is compared, with one exception in the peers' favour: they have no
 * access log, as most Envoys of their kind, while Gatehouse's Envoy reports every call to Gatehouse.
 */
export function peerBootstrap(kind: PeerKind, options: PeerBootstrap): object {
  const settings = settingsFor(options.check);
  const clusters: object[] = [upstreamCluster(options, settings)];
  if (kind.startsWith("authz")) {
    clusters.push(toProtoJson(typeUrls.cluster, controlCluster("gatehouse-check", settings.check)));
  }
  return {
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
    static_resources: { listeners: [peerListener(kind, options, settings)], clusters },
  };
}

/** ext_authz decides and ext_proc only inspects. */
const separate = { inspection: "separate" } as const;

/** As Gatehouse's own defaults are, at any free port. */
function settingsFor(check: string): SnapshotSettings {
  const endpoint = { address: check, maxRequests: 4096 };
  return {
    ...separate,
    listen: { host: "127.0.0.1", port: 0, minTls: "TLSv1.2" },
    check: endpoint,
    process: endpoint,
    accessLog: endpoint,
    holdLimitMs: 120_000,
    activityIntervalMs: 30_000,
    limits: defaultListenerLimits,
  };
}

function peerListener(kind: PeerKind, options: PeerBootstrap, settings: SnapshotSettings): object {
  const whole = toProtoJson(typeUrls.listener, listener(settings)) as ListenerJson;
  const [chain] = whole.filter_chains;
  const [manager] = chain.filters;
  const own = manager.typed_config;
  const typed = {
    ...without(own, ["rds", "access_log", "access_log_options"]),
    route_config: routes(kind),
    http_filters: httpFilters(kind, options, own["http_filters"] as readonly HttpFilter[]),
  };
  const filters = [{ ...manager, typed_config: typed }];
  return { ...whole, filter_chains: [{ ...chain, transport_socket: tls(chain.transport_socket, options), filters }] };
}

/** The same with the certificate from files, because there is nobody to ask for it. */
function tls(socket: { readonly typed_config: Json }, { certificates }: PeerBootstrap): object {
  const context = socket.typed_config["common_tls_context"] as Json;
  const certificate = {
    certificate_chain: { filename: certificates.certFile },
    private_key: { filename: certificates.keyFile },
  };
  const given = { ...without(context, ["tls_certificate_sds_secret_configs"]), tls_certificates: [certificate] };
  return { ...socket, typed_config: { ...socket.typed_config, common_tls_context: given } };
}

/** As in Gatehouse's routes. */
const removedBeforeDriver = [
  "x-gatehouse-cluster",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-envoy-external-address",
  "x-spark-session-id",
  "authentication",
];

/** One route: the Go server names the cluster as Gatehouse does, the others have but one. */
function routes(kind: PeerKind): object {
  const cluster = kind.startsWith("authz") ? { cluster_header: "x-gatehouse-cluster" } : { cluster: "upstream" };
  const route = { ...cluster, timeout: "0s", idle_timeout: "0s" };
  return {
    virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route }] }],
    request_headers_to_remove: removedBeforeDriver,
  };
}

/** @throws Error where Gatehouse's own filters are not those that are known here */
function httpFilters(kind: PeerKind, options: PeerBootstrap, own: readonly HttpFilter[]): readonly HttpFilter[] {
  const ours = (name: string): HttpFilter => {
    const found = own.find((filter) => filter.name === name);
    if (found === undefined) throw new Error(`Gatehouse's Envoy has no ${name}`);
    return found;
  };
  const router = ours("envoy.filters.http.router");
  if (kind === "none") return [router];
  return [kind.startsWith("authz") ? overGrpc(ours("envoy.filters.http.ext_authz")) : jwtAuthn(kind, options), router];
}

/** Gatehouse's filter, asking as nearly everybody does. */
function overGrpc({ name, typed_config }: HttpFilter): HttpFilter {
  const common = without(typed_config as Json, ["http_service", "allowed_headers", "disallowed_headers"]);
  return {
    name,
    typed_config: { ...common, grpc_service: { envoy_grpc: { cluster_name: "gatehouse-check" }, timeout: "125s" } },
  };
}

function jwtAuthn(kind: PeerKind, { issuer, remembered }: PeerBootstrap): HttpFilter {
  const provider = {
    issuer: issuer.issuer,
    audiences: [issuer.audience],
    local_jwks: { inline_string: JSON.stringify(issuer.jwks) },
    // Tokens of up to 4 KiB, by default.
    ...(kind === "jwt-cached" && { jwt_cache_config: { jwt_cache_size: remembered } }),
  };
  return {
    name: "envoy.filters.http.jwt_authn",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
      providers: { issuer: provider },
      rules: [{ match: { prefix: "/" }, requires: { provider_name: "issuer" } }],
    },
  };
}

function upstreamCluster({ upstream }: PeerBootstrap, settings: SnapshotSettings): object {
  const made = driverResources({ ...anyDriver, address: upstream }, settings);
  const address = { socket_address: { address: upstream.host, port_value: upstream.port } };
  return {
    ...without(toProtoJson(typeUrls.cluster, made.cluster), ["eds_cluster_config"]),
    name: "upstream",
    type: "STATIC",
    load_assignment: { cluster_name: "upstream", endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

/** A driver's cluster depends on nothing of this. */
const anyDriver = {
  uid: "any",
  name: "any",
  key: { cluster: "local", namespace: "any", app: "any" },
  owner: "any",
  ownerUser: "any",
  sharedWithGroups: [],
  profile: "any",
  phase: "ready",
  token: undefined,
  createdAt: 0,
  draining: undefined,
  failure: undefined,
} as const;

const without = (object: Json, names: readonly string[]): Json =>
  Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
