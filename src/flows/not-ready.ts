import { GatewayError } from "../kernel/errors.ts";

/** The answer to whatever depends on a driver before the first list of drivers is complete. */
export const notReady = (): GatewayError =>
  new GatewayError("NOT_READY", "Gatehouse is starting and has not read all drivers yet", { retryAfterMs: 1_000 });
