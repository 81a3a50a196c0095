import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { privateFolder } from "./files.ts";

/** The checkout's root folder. */
export const repositoryRoot = fileURLToPath(new URL("../..", import.meta.url));

/** Where everything of one local installation lies; all of it is for its owner only. */
export interface Layout {
  readonly folder: string;
  readonly certificates: string;
  readonly issuer: string;
  /** The local runtime's folder: drivers' state files and logs. */
  readonly drivers: string;
  readonly logs: string;
  /** Gatehouse's Unix sockets. Outside of `folder` where that path is too long for a socket. */
  readonly sockets: string;
  /** Whether `sockets` is a temporary folder that ends with the installation. */
  readonly socketsAreTemporary: boolean;
  readonly configFile: string;
  readonly bootstrapFile: string;
  readonly auditFile: string;
  readonly factsFile: string;
  readonly lockFile: string;
}

/** A socket's path may hold 107 bytes; the longest name in the folder is `access-log.sock`. */
const longestSocketFolder = 107 - "/access-log.sock".length;

/** Makes the folders. */
export function makeLayout(folder: string): Layout {
  privateFolder(folder);
  const own = join(folder, "run");
  const socketsAreTemporary = Buffer.byteLength(own) > longestSocketFolder;
  const layout: Layout = {
    folder,
    certificates: join(folder, "certificates"),
    issuer: join(folder, "issuer"),
    drivers: join(folder, "drivers"),
    logs: join(folder, "logs"),
    sockets: socketsAreTemporary ? mkdtempSync(join(tmpdir(), "gatehouse-")) : own,
    socketsAreTemporary,
    configFile: join(folder, "gatehouse.yaml"),
    bootstrapFile: join(folder, "envoy.json"),
    auditFile: join(folder, "audit.jsonl"),
    factsFile: join(folder, "quickstart.json"),
    lockFile: join(folder, "quickstart.lock"),
  };
  for (const each of [layout.certificates, layout.issuer, layout.drivers, layout.logs, layout.sockets]) {
    privateFolder(each);
  }
  return layout;
}

/**
 * Loopback addresses for the drivers of the installation in that folder: always the same ones for one folder, others for
 * another one, so that two installations on one machine do not meet.
 */
export function addressPool(folder: string): string {
  const [second = 0, third = 0] = createHash("sha256").update(folder).digest();
  return `127.${80 + (second % 160)}.${third}.0/24`;
}
