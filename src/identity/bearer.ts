import { GatewayError } from "../kernel/errors.ts";

/** RFC 6750's b64token: everything that a compact JWT can be made of, and nothing that could end or split a header. */
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

const HOW = "put token=<jwt> into the connection URL";

/**
 * The bearer token of a call, without "Bearer ". It comes from `authorization` or from `authentication` (the JVM
 * client's), from exactly one of them and as exactly one value: Envoy joins duplicates with ",", so a comma means two
 * credentials. The scheme is matched without regard to case and is followed by one space.
 *
 * @param headers lower-case names
 * @throws GatewayError TOKEN_MISSING, CREDENTIALS_AMBIGUOUS or TOKEN_MALFORMED; no message repeats what was sent
 */
export function bearerToken(headers: Readonly<Record<string, string>>): string {
  const authorization = headers["authorization"];
  const authentication = headers["authentication"];
  if (authorization !== undefined && authentication !== undefined) {
    throw new GatewayError(
      "CREDENTIALS_AMBIGUOUS",
      "both authorization and authentication were sent; send exactly one of them",
    );
  }
  const value = authorization ?? authentication;
  if (value === undefined || value === "") {
    throw new GatewayError("TOKEN_MISSING", `no bearer token was sent; ${HOW}`);
  }
  if (value.includes(",")) {
    throw new GatewayError("CREDENTIALS_AMBIGUOUS", "more than one credential was sent; send exactly one bearer token");
  }
  const scheme = value.slice(0, 6).toLowerCase();
  if (scheme !== "bearer" || (value.length > 6 && value[6] !== " ")) {
    throw new GatewayError("TOKEN_MALFORMED", `the credential is not a bearer token; ${HOW}`);
  }
  const token = value.slice(7);
  if (token === "") throw new GatewayError("TOKEN_MISSING", `the bearer token is empty; ${HOW}`);
  if (!TOKEN.test(token)) {
    throw new GatewayError(
      "TOKEN_MALFORMED",
      "the bearer token holds characters that no token has; send it as issued, after exactly one space",
    );
  }
  return token;
}
