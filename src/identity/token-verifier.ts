import type { Principal } from "./principal.ts";

/** Port: turns a bearer token into the caller it proves. Implemented by `edges/oidc`. */
export interface TokenVerifier {
  /**
   * At once where the verdict can be had at once: most calls carry a token that was seen before.
   *
   * @param token the compact JWT without "Bearer "
   * @throws GatewayError with a TOKEN_* reason, or ISSUER_UNAVAILABLE; where a promise came back it rejects with it
   */
  verify(token: string): Principal | Promise<Principal>;
}
