import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ensureCertificates, rotateServerCertificate } from "../../deploy/local/certificates.ts";
import { type CertificateFiles, readCertificate, watchCertificate } from "../../src/edges/tls/certificate-files.ts";
import { silentLog } from "../../src/kernel/log.ts";
import type { ServerCertificate } from "../../src/snapshots/settings.ts";

let folder: string;
let files: CertificateFiles;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatehouse-certificate-files-"));
  const { certFile, keyFile } = await ensureCertificates(folder);
  files = { certificateFile: certFile, privateKeyFile: keyFile };
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** What a watch says that begins now, after `current` was read. */
function seenAtOnce(current: ServerCertificate): readonly ServerCertificate[] {
  const seen: ServerCertificate[] = [];
  watchCertificate(files, { current, log: silentLog, renewed: (certificate) => void seen.push(certificate) })();
  return seen;
}

it("notices a certificate that was replaced before the watch began, and no other", async () => {
  const first = readCertificate(files);
  expect(seenAtOnce(first)).toEqual([]);
  await rotateServerCertificate(folder);
  const second = readCertificate(files);
  expect(second.chain).not.toBe(first.chain);
  expect(seenAtOnce(first).map(({ chain }) => chain)).toEqual([second.chain]);
});

it("keeps the one before while the new pair cannot be used", async () => {
  const first = readCertificate(files);
  await writeFile(files.certificateFile, "half");
  expect(seenAtOnce(first)).toEqual([]);
});
