import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  developmentUsers,
  ensureIssuerState,
  type IssuerOptions,
  issuerStateFile,
} from "../../../deploy/local/issuer-options.ts";
import { startIssuer } from "../../../deploy/local/issuer-provider.ts";
import { fetchToken } from "../../../deploy/local/tokens.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatehouse-issuer-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const options = (port = 0): IssuerOptions => ({
  host: "127.0.0.1",
  port,
  folder,
  audience: "gatehouse",
  tokenLifetimeSeconds: 90,
  users: developmentUsers,
});

async function verified(url: string, token: string) {
  const discovery = (await (await fetch(`${url}/.well-known/openid-configuration`)).json()) as Record<string, string>;
  const keys = createRemoteJWKSet(new URL(discovery["jwks_uri"]!));
  return await jwtVerify(token, keys, { issuer: discovery["issuer"]!, audience: "gatehouse", algorithms: ["RS256"] });
}

describe("the development issuer", () => {
  test("gives each user an RFC 9068 token that verifies through discovery and JWKS", async () => {
    const issuer = await startIssuer(options());
    try {
      const token = await fetchToken({ url: issuer.url, folder }, "alice");
      const { payload } = await verified(issuer.url, token);
      expect(decodeProtectedHeader(token).typ).toBe("at+jwt");
      expect(payload).toMatchObject({
        sub: "alice",
        preferred_username: "alice",
        groups: ["analysts"],
        team: "analytics",
        aud: "gatehouse",
      });
      expect(payload.exp! - payload.iat!).toBe(90);
      await expect(fetchToken({ url: issuer.url, folder }, "mallory")).rejects.toThrow("knows no user mallory");
    } finally {
      await issuer.close();
    }
  });

  test("keeps its keys over a restart on the same port, in a file of its owner's", async () => {
    const first = await startIssuer(options());
    const token = await fetchToken({ url: first.url, folder }, "bob");
    await first.close();
    const second = await startIssuer(options(first.port));
    try {
      expect((await verified(second.url, token)).payload["team"]).toBe("platform");
      expect((await stat(issuerStateFile(folder))).mode & 0o777).toBe(0o600);
    } finally {
      await second.close();
    }
  });

  test("refuses a wrong secret and another resource", async () => {
    const issuer = await startIssuer(options());
    try {
      const ask = async (form: Record<string, string>) =>
        (await fetch(`${issuer.url}/token`, { method: "POST", body: new URLSearchParams(form) })).status;
      const { secrets } = await ensureIssuerState(folder, developmentUsers);
      const grant = { grant_type: "client_credentials", client_id: "alice", client_secret: secrets["alice"]! };
      expect(await ask(grant)).toBe(200);
      expect(await ask({ ...grant, client_secret: secrets["bob"]! })).toBe(401);
      expect(await ask({ ...grant, resource: "urn:other" })).toBe(400);
    } finally {
      await issuer.close();
    }
  });
});
