import { createHash, X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { runCommand } from "./command.ts";
import { InstallError } from "./install-error.ts";

/** Protects nothing: the content is public, and the format wants one. */
export const trustStorePassword = "changeit";

// Python's own rule for what it trusts, so that whatever made pip work makes Java work.
const printTrusted = `
import os, ssl, sys
paths = ssl.get_default_verify_paths()
file = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE") or paths.cafile
context = ssl.create_default_context(cafile=file) if file else ssl.create_default_context()
sys.stdout.write("".join(ssl.DER_cert_to_PEM_cert(der) for der in context.get_ca_certs(binary_form=True)))
`;

/**
 * Writes a Java trust store (JKS) of the authorities that Python trusts: a bundled Java does not know a company's own.
 * @returns false where Python names none, so Java's own list is the better one
 */
export async function writeTrustStore(
  file: string,
  python: string,
  env: Readonly<Record<string, string>>,
): Promise<boolean> {
  const { code, output } = await runCommand(python, ["-c", printTrusted], { env, timeoutMs: 20_000 });
  if (code !== 0) throw new InstallError(`cannot read the trusted certificates: ${output.trim().split("\n").at(-1)}`);
  const pems = output.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (pems.length === 0) return false;
  await writeFile(file, javaKeyStore(pems.map((pem) => new X509Certificate(pem).raw)));
  return true;
}

/** JKS version 2 with trusted certificates only (DER); the digest at the end is over password, a constant and content. */
export function javaKeyStore(certificates: readonly Buffer[]): Buffer {
  const parts = [uint32(0xfeedfeed), uint32(2), uint32(certificates.length)];
  certificates.forEach((certificate, index) => {
    const trustedCertificate = 2;
    parts.push(uint32(trustedCertificate), text(`authority-${index}`), Buffer.alloc(8), text("X.509"));
    parts.push(uint32(certificate.length), certificate);
  });
  const content = Buffer.concat(parts);
  const password = Buffer.from(trustStorePassword, "utf16le").swap16();
  const digest = createHash("sha1").update(password).update("Mighty Aphrodite").update(content).digest();
  return Buffer.concat([content, digest]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
