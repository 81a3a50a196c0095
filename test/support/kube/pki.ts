import "../../../deploy/local/reflect.ts";
import { generateKeyPair, webcrypto } from "node:crypto";
import { join } from "node:path";
import { promisify } from "node:util";
import * as x509 from "@peculiar/x509";
import { writePrivateFile } from "../../../deploy/local/files.ts";

/** Keys and certificates of one cluster, all PEM. */
export interface KubePki {
  readonly caFile: string;
  readonly caPem: string;
  readonly server: KeyPairFiles;
  /** A client certificate of `system:masters`. */
  readonly admin: KeyPairFiles;
  /** With which ServiceAccounts' tokens are signed and verified. */
  readonly serviceAccounts: { readonly keyFile: string; readonly publicFile: string };
}

export interface KeyPairFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly certPem: string;
  readonly keyPem: string;
}

type Keys = webcrypto.CryptoKeyPair;

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 24 * 3600 * 1000;
const notBefore = () => new Date(Date.now() - dayMs);
const notAfter = () => new Date(Date.now() + 30 * dayMs);

/** Makes everything anew, in that folder. */
export async function makePki(folder: string): Promise<KubePki> {
  const file = (name: string, content: string): string => {
    writePrivateFile(join(folder, name), content);
    return join(folder, name);
  };
  const serviceAccountKeys = promisify(generateKeyPair)("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const caKeys = await newKeys();
  const ca = await authority(caKeys);
  const leaf = async (name: string, subject: x509.JsonName, extensions: x509.Extension[]): Promise<KeyPairFiles> => {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: ca.subject,
      notBefore: notBefore(),
      notAfter: notAfter(),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      extensions: [new x509.BasicConstraintsExtension(false, undefined, true), ...extensions],
    });
    const certPem = `${certificate.toString("pem")}\n`;
    const keyPem = await privateKeyPem(keys);
    return { certPem, keyPem, certFile: file(`${name}.crt`, certPem), keyFile: file(`${name}.key`, keyPem) };
  };
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const server = await leaf(
    "server",
    [{ CN: ["kube-apiserver"] }],
    [new x509.ExtendedKeyUsageExtension([serverAuth]), new x509.SubjectAlternativeNameExtension(serverNames)],
  );
  const admin = await leaf(
    "admin",
    [{ O: ["system:masters"] }, { CN: ["admin"] }],
    [new x509.ExtendedKeyUsageExtension([clientAuth])],
  );
  const { privateKey, publicKey } = await serviceAccountKeys;
  const caPem = `${ca.toString("pem")}\n`;
  return {
    caPem,
    caFile: file("ca.crt", caPem),
    server,
    admin,
    serviceAccounts: { keyFile: file("sa.key", privateKey), publicFile: file("sa.pub", publicKey) },
  };
}

const serverNames: x509.JsonGeneralNames = [
  { type: "ip", value: "127.0.0.1" },
  { type: "ip", value: "10.0.0.1" },
  { type: "dns", value: "localhost" },
  { type: "dns", value: "kubernetes" },
  { type: "dns", value: "kubernetes.default" },
  { type: "dns", value: "kubernetes.default.svc" },
];

async function newKeys(): Promise<Keys> {
  return await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

async function authority(keys: Keys): Promise<x509.X509Certificate> {
  return await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: ["test-ca"] }],
    notBefore: notBefore(),
    notAfter: notAfter(),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
}

async function privateKeyPem({ privateKey }: Keys): Promise<string> {
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", privateKey);
  return `${x509.PemConverter.encode(pkcs8, x509.PemConverter.PrivateKeyTag)}\n`;
}
