import type { Any, RpcStatus } from "./protos-common.ts";

/** `envoy.service.discovery.v3.DeltaDiscoveryRequest`: a subscription change, an ACK or a NACK, or several at once. */
export interface DeltaDiscoveryRequest {
  /** With a stream's first request only. */
  readonly node?: { readonly id?: string; readonly cluster?: string };
  readonly type_url?: string;
  readonly resource_names_subscribe: readonly string[];
  readonly resource_names_unsubscribe: readonly string[];
  readonly initial_resource_versions: Readonly<Record<string, string>>;
  readonly response_nonce?: string;
  readonly error_detail?: RpcStatus;
}

/** `envoy.service.discovery.v3.DeltaDiscoveryResponse` */
export interface DeltaDiscoveryResponse {
  readonly system_version_info?: string;
  readonly type_url?: string;
  readonly resources: readonly { readonly name: string; readonly version: string; readonly resource: Any }[];
  readonly removed_resources: readonly string[];
  readonly nonce?: string;
}
