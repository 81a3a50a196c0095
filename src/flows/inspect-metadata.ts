import { GatewayError } from "../kernel/errors.ts";
import { methodOfName, type SparkMethod } from "../spark/methods.ts";

/** What the decision about a call's headers said, as Envoy hands it on. A client cannot write it. */
export interface DecidedCall {
  readonly decisionId: string;
  readonly requestId: string;
  /** `ownerId` of the caller: what the driver is made to see as `user_id`. */
  readonly userId: string;
  /** The display name: what the driver is made to see as `user_name`. */
  readonly userName: string;
  readonly method: SparkMethod;
  /** `namespace/app` */
  readonly session: string;
  readonly driverUid: string;
  /** Whether the messages are inspected and stamped; false only where the driver's profile switched it off. */
  readonly inspect: boolean;
}

/**
 * The decision in ext_authz's dynamic metadata.
 * @throws GatewayError DECISION_MISSING when any part is missing or has the wrong form: nothing is forwarded then
 */
export function decidedCallOf(metadata: Readonly<Record<string, unknown>>): DecidedCall {
  const text = (name: string): string => {
    const value = Object.hasOwn(metadata, name) ? metadata[name] : undefined;
    if (typeof value === "string" && value !== "") return value;
    throw missing(name);
  };
  const method = methodOfName(text("method"));
  if (method === undefined) throw missing("method");
  const inspect = metadata["inspect"];
  if (typeof inspect !== "boolean") throw missing("inspect");
  return {
    decisionId: text("decision_id"),
    requestId: typeof metadata["request_id"] === "string" ? metadata["request_id"] : "",
    userId: text("user_id"),
    userName: text("user_name"),
    method,
    session: text("session"),
    driverUid: text("driver_uid"),
    inspect,
  };
}

const missing = (what: string): GatewayError =>
  new GatewayError("DECISION_MISSING", "internal error: the request was not decided upon", {
    cause: new Error(`the metadata of ext_authz lacks ${what}`),
  });
