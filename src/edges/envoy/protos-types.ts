/** Types of `google.protobuf` that messages of `protos/` hold, as `protos.ts` decodes them. */

/** `google.protobuf.Struct` on the wire; see `encode-struct.ts` for plain JSON. */
export interface Struct {
  readonly fields: Readonly<Record<string, StructValue>>;
}

export interface StructValue {
  readonly nullValue?: number | string;
  readonly numberValue?: number;
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly structValue?: Struct;
  readonly listValue?: { readonly values: readonly StructValue[] };
}

/** `google.protobuf.Duration` and `Timestamp`. */
export interface SecondsNanos {
  readonly seconds?: number;
  readonly nanos?: number;
}
