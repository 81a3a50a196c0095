import type { Struct } from "./protos-types.ts";

/**
 * Parts that several messages of `protos/` share, as `protos.ts` decodes them: an absent field has its default value,
 * repeated fields and maps are always there. Fields that may be left out when a message is built are optional.
 */

/** `google.protobuf.Any`: packed, or (only when encoding) the message itself with its type URL in `@type`. */
export type Any =
  | { readonly type_url: string; readonly value: Uint8Array }
  | { readonly "@type": string; readonly [field: string]: unknown };

export interface RpcStatus {
  readonly code?: number;
  readonly message?: string;
  readonly details?: readonly Any[];
}

export interface Metadata {
  readonly filter_metadata?: Readonly<Record<string, Struct>>;
}

/** `raw_value` in ext_proc, both ways. */
export interface HeaderValue {
  readonly key: string;
  readonly value?: string;
  readonly raw_value?: Uint8Array;
}

export interface HeaderValueOption {
  readonly header: HeaderValue;
  readonly append_action?:
    | "APPEND_IF_EXISTS_OR_ADD"
    | "ADD_IF_ABSENT"
    | "OVERWRITE_IF_EXISTS_OR_ADD"
    | "OVERWRITE_IF_EXISTS";
  readonly keep_empty_value?: boolean;
}

export interface Address {
  readonly socket_address?: { readonly address?: string; readonly port_value?: number };
  readonly pipe?: { readonly path: string };
}
