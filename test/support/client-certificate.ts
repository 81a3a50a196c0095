import "../../deploy/local/reflect.ts";
import { webcrypto } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

/** A certificate for clients (Envoy, say) from the authority in that folder; the paths of its two PEM files. */
export async function issueClientCertificate(folder: string): Promise<{ certFile: string; keyFile: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
  const ca = new x509.X509Certificate(readFileSync(join(folder, "ca.pem"), "utf8"));
  const caKey = x509.PemConverter.decodeFirst(readFileSync(join(folder, "ca-key.pem"), "utf8"));
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: "CN=envoy",
    issuer: ca.subject,
    notBefore: new Date(Date.now() - 3600_000),
    notAfter: new Date(Date.now() + 3600_000),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: await webcrypto.subtle.importKey("pkcs8", caKey, algorithm, false, ["sign"]),
    extensions: [
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(ca.publicKey),
    ],
  });
  const files = { certFile: join(folder, "client.pem"), keyFile: join(folder, "client-key.pem") };
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  writeFileSync(files.certFile, certificate.toString("pem"));
  writeFileSync(files.keyFile, x509.PemConverter.encode(pkcs8, x509.PemConverter.PrivateKeyTag), { mode: 0o600 });
  return files;
}
