import { type IssuerConfig, issuerUrlFault } from "../../identity/issuer.ts";

const MAX_BYTES = 256 * 1024;
const MAX_KEYS = 100;

/** Why keys could not be read; for the log. Whatever it says comes from us, never from the issuer's answer. */
export class KeyFetchError extends Error {
  override readonly name = "KeyFetchError";
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw new KeyFetchError(`the answer is larger than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Redirects are not followed: where keys come from is configuration, not the answer of whoever is reached. */
async function getJson(url: string, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
  const fault = issuerUrlFault(url);
  if (fault !== undefined) throw new KeyFetchError(`the URL ${fault}`);
  const response = await fetch(url, {
    redirect: "manual",
    signal,
    headers: { accept: "application/json", "user-agent": "gatehouse" },
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new KeyFetchError(`the issuer answered with status ${response.status}`);
  }
  const text = await readBounded(response);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new KeyFetchError("the answer is not JSON");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new KeyFetchError("the answer is not a JSON object");
  }
  return json as Readonly<Record<string, unknown>>;
}

async function discover(issuer: string, signal: AbortSignal): Promise<string> {
  const document = await getJson(`${issuer.replace(/\/+$/, "")}/.well-known/openid-configuration`, signal);
  if (document["issuer"] !== issuer) {
    throw new KeyFetchError("the discovery document's issuer is not exactly the configured one");
  }
  const uri = document["jwks_uri"];
  if (typeof uri !== "string") throw new KeyFetchError("the discovery document has no jwks_uri");
  if (issuer.startsWith("https:") && !uri.startsWith("https:")) {
    throw new KeyFetchError("an https issuer's jwks_uri must be https");
  }
  return uri;
}

/**
 * The issuer's published keys as they stand in its JWK set, unchecked one by one. One or (with discovery) two requests;
 * each answer at most 256 KiB, at most 100 keys.
 *
 * @throws KeyFetchError, or what `fetch` throws
 */
export async function fetchKeys(
  config: Pick<IssuerConfig, "issuer" | "jwksUri">,
  signal: AbortSignal,
): Promise<readonly unknown[]> {
  const uri = config.jwksUri ?? (await discover(config.issuer, signal));
  const { keys } = await getJson(uri, signal);
  if (!Array.isArray(keys)) throw new KeyFetchError("the JWK set has no keys");
  if (keys.length > MAX_KEYS) throw new KeyFetchError(`the JWK set has more than ${MAX_KEYS} keys`);
  return keys;
}
