import { type Message, typeUrlPrefix } from "./resource.ts";

/** A message packed into a `google.protobuf.Any`. */
export function any(type: string, message: Message = {}): Message {
  return { "@type": `${typeUrlPrefix}${type}`, ...message };
}

/** A `google.protobuf.Duration`. */
export function duration(ms: number): Message {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}

/** A `google.protobuf` wrapper. */
export function wrapped(value: number | boolean): Message {
  return { value };
}
