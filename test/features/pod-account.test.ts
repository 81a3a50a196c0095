import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { ensureCertificates } from "../../deploy/local/certificates.ts";
import { type Connections, createConnections, send } from "../../src/edges/kubernetes/kube-connection.ts";

// A pod's way to its API server, from the files that the kubelet mounts and the variables that it sets.

let folder: string;
let caFile: string;
let server: Server;
let seen: IncomingMessage[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "kube-account-"));
  const certificates = await ensureCertificates(join(folder, "certificates"));
  ({ caFile } = certificates);
  const { certFile, keyFile } = certificates;
  server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (request, response) => {
    seen.push(request);
    response.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

beforeEach(() => {
  seen = [];
  writeFileSync(join(folder, "token"), "the-token\n");
  writeFileSync(join(folder, "ca.crt"), readFileSync(caFile));
});

afterAll(async () => {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
  rmSync(folder, { recursive: true });
});

async function withConnections(use: (connections: Connections) => Promise<void>, env?: object): Promise<void> {
  const { port } = server.address() as AddressInfo;
  const here = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(port) };
  const connections = createConnections(undefined, { folder, env: env ?? here });
  try {
    await use(connections);
  } finally {
    connections.close();
  }
}

async function ask(connections: Connections): Promise<number | undefined> {
  const sending = { method: "GET", path: "/version", query: {}, body: undefined, contentType: "", accept: "*/*" };
  const answer = await send(await connections.current(), { ...sending, signal: AbortSignal.timeout(5_000) });
  answer.resume();
  return answer.statusCode;
}

it("sends the account's token to the server that the cluster's authority vouches for", async () => {
  await withConnections(async (connections) => {
    expect(await ask(connections)).toBe(200);
    expect(seen.map(({ url, headers }) => [url, headers.authorization])).toEqual([["/version", "Bearer the-token"]]);
  });
});

it("reads a token anew that was refused", async () => {
  await withConnections(async (connections) => {
    await ask(connections);
    writeFileSync(join(folder, "token"), "the-next-token");
    connections.forget();
    await ask(connections);
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer the-token", "Bearer the-next-token"]);
  });
});

it("sends nothing to a server that another authority vouches for", async () => {
  const other = await ensureCertificates(join(folder, "other"));
  writeFileSync(join(folder, "ca.crt"), readFileSync(other.caFile));
  await withConnections(async (connections) => {
    await expect(ask(connections)).rejects.toThrow(/certificate|signature/);
    expect(seen).toEqual([]);
  });
});

it.each([
  ["outside of a pod", {}, "the-token"],
  ["an account without a token", undefined, "\n"],
])("says of %s only that the API server cannot be found", async (_, env, token) => {
  writeFileSync(join(folder, "token"), token);
  await withConnections(async (connections) => {
    await expect(ask(connections)).rejects.toThrow("the Kubernetes API's address or credentials cannot be read");
    expect(seen).toEqual([]);
  }, env);
});
