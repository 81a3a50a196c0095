import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import type { Log } from "../../kernel/log.ts";
import { Secret } from "../../kernel/secret.ts";
import type { ServerCertificate } from "../../snapshots/settings.ts";

export interface CertificateFiles {
  /** PEM, leaf first. */
  readonly certificateFile: string;
  /** PEM. */
  readonly privateKeyFile: string;
}

/** How often the files are looked at. Mounted Secrets change by renamed links, which file events miss. ms */
const pollMs = 2_000;

/**
 * Reads the certificate that clients see.
 * @throws Error naming the file that cannot be read or is not what it should be
 */
export function readCertificate(files: CertificateFiles): ServerCertificate {
  const chain = read("tls.certificate_file", files.certificateFile);
  const key = read("tls.private_key_file", files.privateKeyFile);
  const leaf = parsed("tls.certificate_file", files.certificateFile, "certificate", () => new X509Certificate(chain));
  const priv = parsed("tls.private_key_file", files.privateKeyFile, "private key", () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(priv)) {
    throw new Error(`tls: ${files.privateKeyFile} is not the key of the certificate in ${files.certificateFile}`);
  }
  return { chain, key: new Secret(key) };
}

interface CertificateWatch {
  /** What is shown now; files that were replaced since it was read are noticed, too. */
  readonly current: ServerCertificate;
  readonly log: Log;
  readonly renewed: (certificate: ServerCertificate) => void;
}

/**
 * Calls `renewed` whenever the files hold another certificate. A pair that cannot be used (half written, say) is logged
 * and looked at again; the one before stays. Returns the function that ends it.
 */
export function watchCertificate(files: CertificateFiles, { log, renewed, ...watch }: CertificateWatch): () => void {
  let current = watch.current.chain;
  const look = (): void => {
    try {
      const certificate = readCertificate(files);
      const found = certificate.chain;
      if (found === current) return;
      current = found;
      log.info("the server's certificate was replaced", { valid_to: new X509Certificate(found).validTo });
      renewed(certificate);
    } catch (error) {
      log.warn("the server's new certificate cannot be used; the one before stays", { error });
    }
  };
  const watched = [files.certificateFile, files.privateKeyFile];
  for (const file of watched) watchFile(file, { interval: pollMs, persistent: false }, look);
  look();
  return () => {
    for (const file of watched) unwatchFile(file, look);
  };
}

function read(key: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Error(`${key}: cannot read ${file}`, { cause });
  }
}

/** The parser's own message may quote what it read: it stays out of ours. */
function parsed<T>(key: string, file: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new Error(`${key}: ${file} holds no ${what} in PEM`);
  }
}
