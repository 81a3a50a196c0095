import { importJWK, type JWTHeaderParameters, SignJWT } from "jose";
import { developmentUsers, readIssuerState } from "../../deploy/local/issuer-options.ts";
import type { IssuerPlace } from "../../deploy/local/tokens.ts";

/** What is different from the token that the issuer itself would give. */
export interface Forgery {
  /** Laid over the real claims; undefined removes one. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Laid over the real header. */
  readonly header?: Partial<JWTHeaderParameters>;
}

/** A token signed with the issuer's own key: whatever is wrong with it, its signature is right. */
export async function forgeToken(issuer: IssuerPlace, user: string, { claims, header }: Forgery): Promise<string> {
  const { key } = await readIssuerState(issuer.folder);
  const known = developmentUsers.find(({ name }) => name === user);
  const now = Math.floor(Date.now() / 1000);
  const payload = {
    iss: issuer.url,
    aud: "gatehouse",
    sub: user,
    client_id: user,
    preferred_username: user,
    groups: known?.groups ?? [],
    team: known?.team,
    iat: now,
    exp: now + 3600,
    ...claims,
  };
  return await new SignJWT(payload)
    .setProtectedHeader({ alg: "RS256", typ: "at+jwt", kid: key.kid ?? "", ...header })
    .sign(await importJWK(key, "RS256"));
}
