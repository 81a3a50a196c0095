import "./reflect.ts";
import { webcrypto } from "node:crypto";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { readIfThere, writePrivateFile } from "./files.ts";

/** Where a server's certificate and what signed it lie; all PEM, all readable by their owner only. */
export interface CertificateFiles {
  /** What clients trust: `GRPC_DEFAULT_SSL_ROOTS_FILE_PATH`. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface CertificateOptions {
  /** The domain whose first-level host names carry sessions: `app--ns.<domain>`. Default `spark.localhost`. */
  readonly hostDomain?: string;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const day = 24 * 3600 * 1000;
const caLifetime = 365 * day;
const serverLifetime = 90 * day;
/** A certificate with less time left than this is replaced. */
const renewBefore = 7 * day;

type CryptoKey = webcrypto.CryptoKey;

function filesIn(folder: string): CertificateFiles & { readonly caKeyFile: string } {
  return {
    caFile: join(folder, "ca.pem"),
    caKeyFile: join(folder, "ca-key.pem"),
    certFile: join(folder, "server.pem"),
    keyFile: join(folder, "server-key.pem"),
  };
}

/**
 * A local certificate authority and a server certificate for `localhost`, `127.0.0.1` and the session host names. What
 * is there is used again while it is valid for a week more and covers the same names; otherwise it is made anew.
 */
export async function ensureCertificates(folder: string, options: CertificateOptions = {}): Promise<CertificateFiles> {
  const { caFile, caKeyFile, certFile, keyFile } = filesIn(folder);
  const domain = options.hostDomain ?? "spark.localhost";
  const ca = await storedAuthority(caFile, caKeyFile);
  if (ca === undefined) {
    await writeAuthority(caFile, caKeyFile);
    await rotateServerCertificate(folder, options);
  } else if (!(await serverIsUsable(certFile, keyFile, ca.certificate, domain))) {
    await rotateServerCertificate(folder, options);
  }
  return { caFile, certFile, keyFile };
}

/**
 * Replaces the server's certificate and key by new ones from the same authority. The key goes first: a reader that sees
 * only one of the two new files gets a pair that does not match, and reads again.
 * @returns the new certificate's serial number, in hex
 * @throws Error where the folder holds no authority
 */
export async function rotateServerCertificate(folder: string, options: CertificateOptions = {}): Promise<string> {
  const { caFile, caKeyFile, certFile, keyFile } = filesIn(folder);
  const ca = await storedAuthority(caFile, caKeyFile);
  if (ca === undefined) throw new Error(`no valid certificate authority in ${folder}`);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const notBefore = new Date(Date.now() - day);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: "CN=localhost",
    issuer: ca.certificate.subject,
    notBefore,
    notAfter: new Date(notBefore.getTime() + serverLifetime),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: ca.key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(serverNames(options.hostDomain ?? "spark.localhost")),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(ca.certificate.publicKey),
    ],
  });
  writePrivateFile(keyFile, await privateKeyPem(keys.privateKey));
  writePrivateFile(certFile, `${certificate.toString("pem")}\n`);
  return certificate.serialNumber;
}

function serverNames(domain: string): x509.JsonGeneralNames {
  return [
    { type: "dns", value: "localhost" },
    { type: "dns", value: `*.${domain}` },
    { type: "ip", value: "127.0.0.1" },
  ];
}

async function writeAuthority(caFile: string, caKeyFile: string): Promise<void> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const notBefore = new Date(Date.now() - day);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=Gatehouse local development",
    notBefore,
    notAfter: new Date(notBefore.getTime() + caLifetime),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  writePrivateFile(caKeyFile, await privateKeyPem(keys.privateKey));
  writePrivateFile(caFile, `${certificate.toString("pem")}\n`);
}

interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly key: CryptoKey;
}

/** The authority in the files, or undefined where it is missing, broken, or about to end. */
async function storedAuthority(caFile: string, caKeyFile: string): Promise<Authority | undefined> {
  const [certificatePem, keyPem] = await Promise.all([readIfThere(caFile), readIfThere(caKeyFile)]);
  if (certificatePem === undefined || keyPem === undefined) return undefined;
  try {
    const certificate = new x509.X509Certificate(certificatePem);
    const key = await importPrivateKey(keyPem);
    return stillValid(certificate) && (await matches(certificate, key)) ? { certificate, key } : undefined;
  } catch {
    return undefined;
  }
}

async function serverIsUsable(
  certFile: string,
  keyFile: string,
  ca: x509.X509Certificate,
  domain: string,
): Promise<boolean> {
  const [certificatePem, keyPem] = await Promise.all([readIfThere(certFile), readIfThere(keyFile)]);
  if (certificatePem === undefined || keyPem === undefined) return false;
  try {
    const certificate = new x509.X509Certificate(certificatePem);
    const names = certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON() ?? [];
    const covers = serverNames(domain).every((wanted) =>
      names.some((name) => name.type === wanted.type && name.value === wanted.value),
    );
    if (!covers || !stillValid(certificate)) return false;
    if (!(await certificate.verify({ publicKey: ca.publicKey, signatureOnly: true }))) return false;
    return await matches(certificate, await importPrivateKey(keyPem));
  } catch {
    return false;
  }
}

function stillValid(certificate: x509.X509Certificate): boolean {
  const now = Date.now();
  return certificate.notBefore.getTime() <= now && certificate.notAfter.getTime() - now > renewBefore;
}

/** Whether the key is the certificate's own: it signs what the certificate verifies. */
async function matches(certificate: x509.X509Certificate, key: CryptoKey): Promise<boolean> {
  const sample = new TextEncoder().encode("gatehouse");
  const signature = await webcrypto.subtle.sign(algorithm, key, sample);
  const publicKey = await certificate.publicKey.export(algorithm, ["verify"]);
  return await webcrypto.subtle.verify(algorithm, publicKey, signature, sample);
}

async function privateKeyPem(key: CryptoKey): Promise<string> {
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", key);
  return `${x509.PemConverter.encode(pkcs8, x509.PemConverter.PrivateKeyTag)}\n`;
}

async function importPrivateKey(pem: string): Promise<CryptoKey> {
  return await webcrypto.subtle.importKey("pkcs8", x509.PemConverter.decodeFirst(pem), algorithm, false, ["sign"]);
}
