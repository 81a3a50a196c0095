import type { Principal } from "./principal.ts";

/** Port: turns a bearer token into the caller it proves. Implemented by `edges/oidc`. */
export interface TokenVerifier {
  /**
   * @param token the compact JWT without "Bearer "
   * @throws GatewayError with a TOKEN_* reason, or ISSUER_UNAVAILABLE
   */
  verify(token: string): Promise<Principal>;
}
