import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ensureCertificates, rotateServerCertificate } from "../../../deploy/local/certificates.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatehouse-certificates-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Whether a TLS client that trusts only `ca` accepts the server under that name; otherwise the reason's code. */
async function handshake(server: Server, ca: string, name: string): Promise<string> {
  const { port } = server.address() as AddressInfo;
  return await new Promise((resolve) => {
    const checked = name === "127.0.0.1" ? { host: name } : { host: "127.0.0.1", servername: name };
    const socket = connect({ port, ca, ...checked }, () => {
      socket.destroy();
      resolve("accepted");
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

describe("the local certificates", () => {
  test("cover localhost, 127.0.0.1 and one label under the session domain, and nothing else", async () => {
    const files = await ensureCertificates(folder);
    const [ca, cert, key] = await Promise.all(
      [files.caFile, files.certFile, files.keyFile].map((file) => readFile(file, "utf8")),
    );
    const server = createServer({ cert, key });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const names = [
      "localhost",
      "127.0.0.1",
      "etl--sjns-analytics-dev.spark.localhost",
      "a.b.spark.localhost",
      "example.com",
    ];
    const answers = await Promise.all(names.map((name) => handshake(server, ca!, name)));
    const stranger = await ensureCertificates(join(folder, "other"));
    const refused = await handshake(server, await readFile(stranger.caFile, "utf8"), "localhost");
    server.close();
    expect(answers).toEqual([
      "accepted",
      "accepted",
      "accepted",
      "ERR_TLS_CERT_ALTNAME_INVALID",
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ]);
    expect(refused).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  });

  test("are readable by their owner only", async () => {
    const files = await ensureCertificates(folder);
    const modes = await Promise.all(Object.values(files).map(async (file) => (await stat(file)).mode & 0o777));
    expect(modes).toEqual([0o600, 0o600, 0o600]);
  });

  test("are used again while valid, and made anew when broken or when the names differ", async () => {
    const { certFile, keyFile, caFile } = await ensureCertificates(folder);
    const read = async () => await Promise.all([caFile, certFile, keyFile].map((file) => readFile(file, "utf8")));
    const first = await read();
    await ensureCertificates(folder);
    expect(await read()).toEqual(first);

    await writeFile(keyFile, "not a key");
    await ensureCertificates(folder);
    const second = await read();
    expect(second[0]).toBe(first[0]);
    expect(second[1]).not.toBe(first[1]);
    expect(second[2]).not.toBe("not a key");

    await ensureCertificates(folder, { hostDomain: "sessions.localhost" });
    expect((await read())[1]).not.toBe(second[1]);
  });

  test("rotation keeps the authority and refuses to work without one", async () => {
    const { caFile, certFile } = await ensureCertificates(folder);
    const [ca, before] = [await readFile(caFile, "utf8"), await readFile(certFile, "utf8")];
    const serial = await rotateServerCertificate(folder);
    expect(serial).toMatch(/^[0-9a-f]+$/);
    expect(await readFile(caFile, "utf8")).toBe(ca);
    expect(await readFile(certFile, "utf8")).not.toBe(before);
    await expect(rotateServerCertificate(join(folder, "empty"))).rejects.toThrow("no valid certificate authority");
  });
});
