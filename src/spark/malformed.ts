import { GatewayError } from "../kernel/errors.ts";

/** A message that is refused for its form. The words name the place, never the content. */
export function malformed(what: string): GatewayError {
  return new GatewayError("MESSAGE_MALFORMED", `malformed Spark Connect request: ${what}`);
}
