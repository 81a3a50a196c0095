import type { Secret } from "../kernel/secret.ts";

/** What stands before a message's name in its type URL. */
export const typeUrlPrefix = "type.googleapis.com/";

/** The resource types that Envoy is given, by their type URLs. */
export const typeUrls = {
  cluster: `${typeUrlPrefix}envoy.config.cluster.v3.Cluster`,
  endpoints: `${typeUrlPrefix}envoy.config.endpoint.v3.ClusterLoadAssignment`,
  secret: `${typeUrlPrefix}envoy.extensions.transport_sockets.tls.v3.Secret`,
  listener: `${typeUrlPrefix}envoy.config.listener.v3.Listener`,
  route: `${typeUrlPrefix}envoy.config.route.v3.RouteConfiguration`,
} as const;

export type TypeUrl = (typeof typeUrls)[keyof typeof typeUrls];

/** A value of a message's field. A {@link Secret} stands for the string in it and is revealed only when encoded. */
export type FieldValue = string | number | boolean | Secret | readonly FieldValue[] | Message | undefined;

/**
 * A protobuf message as a plain object: fields by their snake_case names, enums by name, `google.protobuf.Any` as the
 * packed message with its type URL in `@type`. The encoder refuses a field that the message does not have.
 */
export interface Message {
  readonly [field: string]: FieldValue;
}

/** A driver that cannot be offered to Envoy, and why. It never keeps the others from being offered. */
export interface Skipped {
  readonly uid: string;
  readonly why: string;
}

/** All that Envoy is to run with, made from one generation of the catalog. Resources by type URL and name. */
export interface Snapshot {
  readonly generation: number;
  readonly resources: Readonly<Record<TypeUrl, ReadonlyMap<string, Message>>>;
  readonly skipped: readonly Skipped[];
}
