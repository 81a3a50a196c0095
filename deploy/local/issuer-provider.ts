import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Configuration, errors, Provider } from "oidc-provider";
import { ensureIssuerState, type IssuerOptions, type IssuerState } from "./issuer-options.ts";

/** A running issuer. */
export interface RunningIssuer {
  /** `iss`: plain http on loopback, for development only. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/** The resource indicator that stands for Gatehouse in token requests (RFC 8707); tokens carry the plain audience. */
export const gatehouseResource = "urn:gatehouse:api";

/**
 * Starts an OpenID provider with a real discovery document and JWKS. Each user is a client that gets access tokens by
 * client_credentials: RFC 9068 JWTs, RS256, with `preferred_username`, `groups` and `team`.
 * @throws Error where the address cannot be bound
 */
export async function startIssuer(options: IssuerOptions): Promise<RunningIssuer> {
  const state = await ensureIssuerState(options.folder, options.users);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  const port = (server.address() as AddressInfo).port;
  const url = `http://${options.host}:${port}`;
  const provider = new Provider(url, configuration(options, state));
  // oxlint-disable-next-line typescript/no-misused-promises -- koa's handler answers every failure itself
  server.on("request", provider.callback());
  return {
    url,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function configuration(options: IssuerOptions, state: IssuerState): Configuration {
  const users = new Map(options.users.map((user) => [user.name, user]));
  return {
    clients: options.users.map(({ name }) => ({
      client_id: name,
      client_secret: state.secrets[name] ?? "",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: "client_secret_post",
    })),
    cookies: { keys: [state.cookieKey] },
    jwks: { keys: [state.key] as NonNullable<Configuration["jwks"]>["keys"] },
    ttl: { ClientCredentials: options.tokenLifetimeSeconds },
    claims: { openid: ["sub"], profile: ["preferred_username", "groups", "team"] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => {
          if (resource !== gatehouseResource) throw new errors.InvalidTarget();
          return {
            scope: "",
            audience: options.audience,
            accessTokenTTL: options.tokenLifetimeSeconds,
            accessTokenFormat: "jwt",
            jwt: { sign: { alg: "RS256" } },
          };
        },
        defaultResource: () => gatehouseResource,
      },
    },
    extraTokenClaims: (_context, token) => {
      const user = users.get(token.clientId ?? "");
      if (user === undefined) return {};
      return { preferred_username: user.name, groups: user.groups, team: user.team };
    },
  };
}
