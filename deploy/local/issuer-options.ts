import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import { readIfThere, writePrivateFile } from "./files.ts";

/** Somebody who can get tokens from the development issuer; the name is `sub` and `preferred_username`. */
export interface IssuerUser {
  readonly name: string;
  readonly team: string;
  readonly groups: readonly string[];
}

/** What the issuer's process reads as one JSON line from its standard input. */
export interface IssuerOptions {
  readonly host: string;
  /** 0 picks a free one. Tokens name the port (`iss`), so tokens survive a restart only on the same port. */
  readonly port: number;
  /** Where keys and client secrets live (0700); whoever reads it can make any token. */
  readonly folder: string;
  /** The tokens' `aud`. */
  readonly audience: string;
  readonly tokenLifetimeSeconds: number;
  readonly users: readonly IssuerUser[];
}

/** What lasts between runs of one issuer. */
export interface IssuerState {
  /** The RS256 signing key, private, with `kid`. */
  readonly key: JWK;
  readonly cookieKey: string;
  readonly secrets: Readonly<Record<string, string>>;
}

/** The development users: one with a team and a group, one with a team only, one administrator. */
export const developmentUsers: readonly IssuerUser[] = [
  { name: "alice", team: "analytics", groups: ["analysts"] },
  { name: "bob", team: "platform", groups: [] },
  { name: "carol", team: "platform", groups: ["gatehouse-admins"] },
];

/** The file of an issuer's {@link IssuerState}. */
export function issuerStateFile(folder: string): string {
  return join(folder, "issuer.json");
}

/** @throws Error where no issuer has run in that folder */
export async function readIssuerState(folder: string): Promise<IssuerState> {
  const text = await readIfThere(issuerStateFile(folder));
  if (text === undefined) throw new Error(`no issuer has run in ${folder}`);
  return JSON.parse(text) as IssuerState;
}

/** The folder's keys and secrets; makes what is missing, keeps what is there. */
export async function ensureIssuerState(folder: string, users: readonly IssuerUser[]): Promise<IssuerState> {
  const file = issuerStateFile(folder);
  const stored = await readIfThere(file);
  const before = stored === undefined ? undefined : (JSON.parse(stored) as IssuerState);
  const secrets = Object.fromEntries(users.map(({ name }) => [name, before?.secrets[name] ?? newSecret()]));
  const state: IssuerState = {
    key: before?.key ?? (await newSigningKey()),
    cookieKey: before?.cookieKey ?? newSecret(),
    secrets,
  };
  writePrivateFile(file, `${JSON.stringify(state)}\n`);
  return state;
}

async function newSigningKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair("RS256", { modulusLength: 2048, extractable: true });
  return { ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: randomBytes(8).toString("hex") };
}

function newSecret(): string {
  return randomBytes(32).toString("base64url");
}
