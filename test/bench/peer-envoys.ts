import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startEnvoy } from "../support/envoy.ts";
import { type Peer, startPeer } from "./children.ts";
import { type PeerKind, peerBootstrap } from "./peer-bootstrap.ts";

export interface PeerOptions {
  readonly tools: { readonly envoy: string };
  /** The Go program of peers. */
  readonly peers: string;
  /** Must exist; the peer's files go into a folder in it that bears the kind's name. */
  readonly folder: string;
  readonly certificates: { readonly certFile: string; readonly keyFile: string };
  /** Where calls go: h2c, an IP address. */
  readonly upstream: { readonly host: string; readonly port: number };
  /** Whose tokens are good, and the issuer's JWKS. */
  readonly issuer: { readonly issuer: string; readonly audience: string; readonly jwks: object };
  /** How many good tokens those with a cache remember. Default: as many as Gatehouse. */
  readonly remembered?: number;
}

/** A running Envoy with one worker and what decides for it. */
export interface PeerEnvoy {
  /** `https://localhost:PORT`. */
  readonly origin: string;
  readonly envoyPid: number;
  /** Of the Go server, where there is one. */
  readonly authzPid?: number;
  /** Where the Go server records its decisions, one line each, where it does. */
  readonly auditFile?: string;
  /** Ends both. */
  close(): Promise<void>;
}

/** `identity.token_cache.max_entries` by default. */
const gatehouseRemembers = 50_000;

/** @throws Error where one of its parts does not start */
export async function startPeerEnvoy(kind: PeerKind, options: PeerOptions): Promise<PeerEnvoy> {
  const folder = join(options.folder, kind);
  mkdirSync(folder);
  const remembered = options.remembered ?? gatehouseRemembers;
  const auditFile = kind === "authz-audited" ? join(folder, "audit.jsonl") : undefined;
  const check = `unix:${join(folder, "check.sock")}`;
  const authz = kind.startsWith("authz")
    ? await startAuthz(options, { folder, remembered, auditFile, check })
    : undefined;
  try {
    const bootstrap = peerBootstrap(kind, { ...options, remembered, check });
    const envoy = await startEnvoy({ envoy: options.tools.envoy, bootstrap, folder });
    return {
      origin: `https://localhost:${await envoy.clientPort()}`,
      envoyPid: envoy.pid,
      ...(authz !== undefined && { authzPid: authz.pid }),
      ...(auditFile !== undefined && { auditFile }),
      async close() {
        await envoy.stop();
        await authz?.stop();
      },
    };
  } catch (error) {
    await authz?.stop();
    throw error;
  }
}

interface Authz {
  readonly folder: string;
  readonly remembered: number;
  readonly auditFile: string | undefined;
  readonly check: string;
}

async function startAuthz({ peers, issuer }: PeerOptions, at: Authz): Promise<Peer> {
  const jwks = join(at.folder, "jwks.json");
  writeFileSync(jwks, JSON.stringify(issuer.jwks));
  const args = {
    "--listen": at.check,
    "--jwks": jwks,
    "--issuer": issuer.issuer,
    "--audience": issuer.audience,
    "--cache": String(at.remembered),
    "--cluster": "upstream",
    ...(at.auditFile !== undefined && { "--audit": at.auditFile }),
  };
  return await startPeer(peers, ["authz", "--metadata", ...Object.entries(args).flat()]);
}
