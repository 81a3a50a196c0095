import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { JWK } from "jose";

/** How the issuer answers: properly, with an error, never, with a redirect, with too much, or with something else. */
export type IssuerMode = "ok" | "error" | "hang" | "redirect" | "huge" | "text" | "wrong-issuer" | "other-host";

/** A real HTTP server on loopback that publishes a discovery document and a JWK set. */
export interface JwksServer {
  /** The issuer's URL. */
  readonly url: string;
  readonly jwksUri: string;
  /** What the JWK set holds from now on. */
  publish(keys: readonly unknown[]): void;
  answer(mode: IssuerMode): void;
  /** Requests for the JWK set, and for the discovery document. */
  readonly fetches: { keys: number; discovery: number; redirected: number };
  close(): Promise<void>;
}

export async function startJwksServer(initial: readonly JWK[] = []): Promise<JwksServer> {
  let keys: readonly unknown[] = initial;
  let mode: IssuerMode = "ok";
  const fetches = { keys: 0, discovery: 0, redirected: 0 };
  const json = (response: ServerResponse, body: unknown): void => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(body));
  };
  const server = createServer((request, response) => {
    if (request.url === "/elsewhere") fetches.redirected += 1;
    else if (request.url === "/jwks") fetches.keys += 1;
    else fetches.discovery += 1;
    if (mode === "hang") return;
    if (mode === "error") {
      response.statusCode = 503;
      response.end();
    } else if (mode === "redirect" && request.url !== "/elsewhere") {
      response.statusCode = 302;
      response.setHeader("location", "/elsewhere");
      response.end();
    } else if (mode === "huge") {
      json(response, { keys, padding: "x".repeat(300_000) });
    } else if (mode === "text") {
      response.end("<html>not json</html>");
    } else if (request.url === "/.well-known/openid-configuration") {
      json(response, {
        issuer: mode === "wrong-issuer" ? `${url}/` : url,
        jwks_uri: mode === "other-host" ? "http://keys.example.com/jwks" : `${url}/jwks`,
      });
    } else {
      json(response, { keys });
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    jwksUri: `${url}/jwks`,
    publish: (next) => {
      keys = next;
    },
    answer: (next) => {
      mode = next;
    },
    fetches,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
