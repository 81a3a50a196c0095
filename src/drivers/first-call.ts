import type { Secret } from "../kernel/secret.ts";
import type { DriverAddress } from "./driver.ts";

/**
 * Port: how a runtime finds out that a driver serves, before anybody else calls it. An open port is not enough: the server
 * behind it may be another, may not know the driver's token, or may still load what answers calls. So one call has to be
 * answered before a driver counts as ready. Nothing here rejects.
 */
export interface FirstCall {
  /** Whether somebody accepts connections there within `limitMs`; false where the signal aborts first. */
  accepts(address: DriverAddress, limitMs: number, signal?: AbortSignal): Promise<boolean>;
  /**
   * Makes one call that carries the driver's token, has an effect on nobody's session, and ends within 10 s.
   * @returns undefined where the driver has answered, be it with an error of its own; else the name of the gRPC status of a
   *   server that is not there (yet), or that does not know this token. No connection stays open.
   */
  refusal(address: DriverAddress, token: Secret | undefined, signal?: AbortSignal): Promise<string | undefined>;
}
