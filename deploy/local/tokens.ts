import { readIssuerState } from "./issuer-options.ts";

/** Where an issuer answers and where its state lies. */
export interface IssuerPlace {
  readonly url: string;
  readonly folder: string;
}

/**
 * A fresh access token for that user, from the issuer's token endpoint (found through its discovery document).
 * @throws Error with the issuer's own words where it refuses
 */
export async function fetchToken(issuer: IssuerPlace, user: string): Promise<string> {
  const { secrets } = await readIssuerState(issuer.folder);
  const secret = secrets[user];
  if (secret === undefined) throw new Error(`the issuer knows no user ${user}`);
  const discovery = (await answerOf(fetch(`${issuer.url}/.well-known/openid-configuration`))) as {
    token_endpoint: string;
  };
  const form = new URLSearchParams({ grant_type: "client_credentials", client_id: user, client_secret: secret });
  const token = (await answerOf(fetch(discovery.token_endpoint, { method: "POST", body: form }))) as {
    access_token: string;
  };
  return token.access_token;
}

async function answerOf(request: Promise<Response>): Promise<unknown> {
  const response = await request;
  const text = await response.text();
  if (!response.ok) throw new Error(`the issuer answered ${response.status}: ${text.slice(0, 300)}`);
  return JSON.parse(text);
}
