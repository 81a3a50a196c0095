import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChannelCredentials, Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ensureCertificates } from "../../deploy/local/certificates.ts";
import { type ControlServerOptions, startControlServer } from "../../src/edges/envoy/server.ts";
import { issueClientCertificate } from "../support/client-certificate.ts";

let folder: string;
const clients: Client[] = [];

const bytes = (message: Buffer): Buffer => message;
const definition = {
  Echo: {
    path: "/test.Service/Echo",
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  },
} as const;
const service = {
  definition,
  implementation: {
    Echo: ({ request }: { request: Buffer }, answer: (error: null, value: Buffer) => void) => answer(null, request),
  },
};

const start = (options: Partial<ControlServerOptions> = {}) =>
  startControlServer({ address: "127.0.0.1:0", services: [service], ...options });

/** The gRPC code of a call with that many bytes. */
async function call(
  address: string,
  how: ChannelCredentials = credentials.createInsecure(),
  size = 1,
): Promise<number> {
  const client = new Client(address, how, { "grpc.use_local_subchannel_pool": 1 });
  clients.push(client);
  return await new Promise((resolve) => {
    const deadline = Date.now() + 5000;
    const ended = (error: ServiceError | null) => resolve(error?.code ?? 0);
    client.makeUnaryRequest(definition.Echo.path, bytes, bytes, Buffer.alloc(size), { deadline }, ended);
  });
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gatehouse-server-"));
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("a Unix socket", () => {
  it("lies in a folder that only this user can enter, and is gone after the end", async () => {
    const path = join(folder, "sockets", "a.sock");
    const server = await start({ address: `unix:${path}` });
    expect(statSync(join(folder, "sockets")).mode & 0o777).toBe(0o700);
    expect(await call(server.address)).toBe(0);
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  it("is not put into a folder that is open to others", async () => {
    mkdirSync(join(folder, "open"));
    chmodSync(join(folder, "open"), 0o755);
    await expect(start({ address: `unix:${join(folder, "open", "a.sock")}` })).rejects.toThrow("closed to others");
  });

  it("that a dead process left is taken over; one in use is not", async () => {
    const path = join(folder, "a.sock");
    const stale = createServer();
    await new Promise<void>((resolve) => stale.listen(path, resolve));
    await expect(start({ address: `unix:${path}` })).rejects.toThrow("in use");
    await new Promise((resolve) => stale.close(resolve));
    // A process that is killed leaves its socket's file; one that ends does not, so put one there.
    const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(existsSync(path)).toBe(true);
    const server = await start({ address: `unix:${path}` });
    expect(await call(server.address)).toBe(0);
    await server.close();
  });
});

describe("a TCP address", () => {
  it.each(["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0"])(
    "%s is not served without mutual TLS",
    async (address) => {
      await expect(start({ address })).rejects.toThrow("needs mutual TLS");
    },
  );

  it("that is taken is an error that says so", async () => {
    const server = await start();
    await expect(start({ address: server.address })).rejects.toThrow(/cannot listen on .*EADDRINUSE/);
    await server.close();
  });

  it("with mutual TLS serves only clients whose certificate our authority signed", async () => {
    const { caFile, certFile, keyFile } = await ensureCertificates(join(folder));
    const other = join(folder, "other");
    mkdirSync(other);
    const ours = await issueClientCertificate(folder);
    await ensureCertificates(other);
    const strangers = await issueClientCertificate(other);
    const server = await start({ tls: { caFile, certFile, keyFile } });
    const address = server.address.replace("127.0.0.1", "localhost");
    const roots = readFileSync(caFile);
    const as = (one: { keyFile: string; certFile: string }) =>
      credentials.createSsl(roots, readFileSync(one.keyFile), readFileSync(one.certFile));
    expect(await call(address, as(ours))).toBe(0);
    expect(await call(address, as(strangers))).toBe(14);
    expect(await call(address, credentials.createSsl(roots))).toBe(14);
    expect(await call(address)).toBe(14);
    await server.close();
  });
});

describe("a server", () => {
  it("refuses a message over its limit and serves the next", async () => {
    const server = await start({ maxReceiveBytes: 10_000 });
    expect(await call(server.address, undefined, 20_000)).toBe(8);
    expect(await call(server.address)).toBe(0);
    await server.close();
  });

  it("drains: running calls end in peace, new ones find nobody", async () => {
    let answer = (): void => undefined;
    const held = {
      definition,
      implementation: {
        Echo(_call: unknown, reply: (error: null, value: Buffer) => void) {
          answer = () => reply(null, Buffer.alloc(0));
          arrived();
        },
      },
    };
    let arrived = (): void => undefined;
    const server = await start({ services: [held] });
    const here = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const running = call(server.address);
    await here;
    const drained = server.drain();
    expect(await call(server.address)).toBe(14);
    answer();
    expect(await running).toBe(0);
    for (const client of clients.splice(0)) client.close();
    await drained;
    await server.close();
  });

  it("closes at once, whatever is running", async () => {
    let arrived = (): void => undefined;
    const here = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const server = await start({
      services: [{ definition, implementation: { Echo: () => arrived() } }],
    });
    const running = call(server.address);
    await here;
    await server.close();
    expect(await running).not.toBe(0);
  });
});
