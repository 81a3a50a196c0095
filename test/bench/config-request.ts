import { aSession, concat, field, userContext } from "../support/spark-wire.ts";
import type { LoadPlan } from "./load.ts";

/** A Config request of about 190 bytes, as PySpark sends many of. */
const message = concat(field(1, aSession), userContext("alice"), field(3, "x".repeat(110)), field(4, "bench"));

/** The call that most loads repeat. */
export const configRequest: Pick<LoadPlan, "method" | "bodyBase64"> = {
  method: "/spark.connect.SparkConnectService/Config",
  bodyBase64: Buffer.from(message).toString("base64"),
};
