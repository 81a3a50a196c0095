/** The way to a claim: a dotted path (`realm_access.roles`), or its steps where a name itself has dots. */
export type ClaimPath = string | readonly string[];

/** Which claims say what about the caller. Only `user` must be there. */
interface ClaimMapping {
  /** The display name. */
  readonly user: ClaimPath;
  /** An array of strings, or one string: one group. It is never split. */
  readonly groups?: ClaimPath | undefined;
  /** One string. */
  readonly team?: ClaimPath | undefined;
}

/** One OpenID Connect issuer whose tokens are accepted. */
export interface IssuerConfig {
  /** Unique DNS label; the part after "@" in owner ids. */
  readonly name: string;
  /** Compared with the token's `iss` character by character. https, or http on loopback. */
  readonly issuer: string;
  /** Where its keys are; undefined: read from its discovery document. https, or http on loopback. */
  readonly jwksUri?: string | undefined;
  /** A token must carry at least one of them. */
  readonly audiences: readonly string[];
  /** Default {@link defaultAlgorithms}. */
  readonly algorithms?: readonly string[] | undefined;
  readonly claims: ClaimMapping;
  /** Dotted claim path → the value that it must be, or that it must hold where it is an array. */
  readonly requiredClaims?: Readonly<Record<string, string>> | undefined;
}

/** All that can ever be accepted: asymmetric signatures. */
export const supportedAlgorithms: readonly string[] = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
];

export const defaultAlgorithms: readonly string[] = ["RS256", "PS256", "ES256"];

/** Whether the host of a URL (`hostname`) is this machine itself. */
function isLoopbackHost(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

/** What is wrong with a URL that keys are trusted from; undefined where nothing is. */
export function issuerUrlFault(url: string): string | undefined {
  if (!URL.canParse(url)) return "is not a URL";
  const { protocol, hostname, username, password, hash } = new URL(url);
  if (username !== "" || password !== "" || hash !== "") return "must not hold credentials or a fragment";
  if (protocol === "https:" || (protocol === "http:" && isLoopbackHost(hostname))) return undefined;
  return "must be https (http is for loopback only)";
}

function faultsOf(config: IssuerConfig): string[] {
  const faults: string[] = [];
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(config.name)) faults.push("name must be a DNS label");
  const url = issuerUrlFault(config.issuer);
  if (url !== undefined) faults.push(`issuer ${url}`);
  const keys = config.jwksUri === undefined ? undefined : issuerUrlFault(config.jwksUri);
  if (keys !== undefined) faults.push(`jwksUri ${keys}`);
  if (config.audiences.length === 0 || config.audiences.includes("")) faults.push("audiences must name at least one");
  const algorithms = config.algorithms ?? defaultAlgorithms;
  if (algorithms.length === 0 || !algorithms.every((alg) => supportedAlgorithms.includes(alg))) {
    faults.push(`algorithms must be among ${supportedAlgorithms.join(", ")}`);
  }
  return faults;
}

/** What is wrong with a list of issuers, each fault with its place; empty where nothing is. */
export function issuerFaults(issuers: readonly IssuerConfig[]): string[] {
  const faults = issuers.flatMap((config, i) => faultsOf(config).map((fault) => `issuers[${i}].${fault}`));
  if (issuers.length === 0) faults.push("issuers must name at least one");
  if (new Set(issuers.map((config) => config.name)).size !== issuers.length) faults.push("issuer names must differ");
  if (new Set(issuers.map((config) => config.issuer)).size !== issuers.length) faults.push("issuer URLs must differ");
  return faults;
}
