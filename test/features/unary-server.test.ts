import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChannelCredentials, Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ensureCertificates } from "../../deploy/local/certificates.ts";
import type { ControlServer } from "../../src/edges/envoy/server.ts";
import { startUnaryServer, type UnaryHandler, type UnaryServerOptions } from "../../src/edges/envoy/unary-server.ts";
import { issueClientCertificate } from "../support/client-certificate.ts";
import { until } from "../support/until.ts";

const path = "/test.Service/Echo";
let folder: string;
let server: ControlServer | undefined;
const endings: (() => void)[] = [];

const echo: UnaryHandler = async (message) => message;

async function start(handle: UnaryHandler = echo, options: Partial<UnaryServerOptions> = {}): Promise<string> {
  server = await startUnaryServer({ address: `unix:${join(folder, "s", "a.sock")}`, path, handle, ...options });
  return server.address;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gatehouse-unary-"));
});

afterEach(async () => {
  for (const end of endings.splice(0)) end();
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** A stock gRPC client's call: the answer, or the code that it ended with. */
function call(
  address: string,
  message = Buffer.from("hello"),
  how: ChannelCredentials = credentials.createInsecure(),
): { readonly result: Promise<Buffer | number>; cancel(): void } {
  const client = new Client(address, how, { "grpc.use_local_subchannel_pool": 1 });
  endings.push(() => client.close());
  let cancel = (): void => undefined;
  const result = new Promise<Buffer | number>((resolve) => {
    const same = (bytes: Buffer) => bytes;
    const options = { deadline: Date.now() + 10_000 };
    const made = client.makeUnaryRequest(path, same, same, message, options, (error: ServiceError | null, answer) =>
      resolve(error === null ? (answer ?? Buffer.alloc(0)) : error.code),
    );
    cancel = () => made.cancel();
  });
  return { result, cancel };
}

/** A connection on which anything can be said. */
function raw(address: string): ClientHttp2Session {
  const session = connect("http://localhost", { createConnection: () => connectSocket(address.slice("unix:".length)) });
  endings.push(() => session.destroy());
  return session;
}

/** The gRPC status of what was sent as a call's body in those chunks, or "reset". */
function send(session: ClientHttp2Session, chunks: readonly Buffer[], headers: object = {}): Promise<string> {
  return new Promise((resolve) => {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    let status = "reset";
    const note = (got: Readonly<Record<string, unknown>>): void => {
      if (typeof got["grpc-status"] === "string") status = got["grpc-status"];
    };
    stream.on("response", note).on("trailers", note);
    stream.on("error", () => undefined).on("close", () => resolve(status));
    stream.resume();
    for (const chunk of chunks) stream.write(chunk);
    stream.end();
  });
}

function framed(message: Buffer, flag = 0): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

describe("a unary gRPC method", () => {
  it("answers a stock client, in order or all at once", async () => {
    const address = await start(async (message) => Buffer.concat([message, message]));
    const messages = Array.from({ length: 100 }, (_, index) => Buffer.alloc(index * 300, index));
    const answers = await Promise.all(messages.map((message) => call(address, message).result));
    for (const [index, message] of messages.entries()) {
      expect(Buffer.concat([message, message]).equals(answers[index] as Buffer)).toBe(true);
    }
  });

  it("takes a message in any pieces", async () => {
    const session = raw(await start());
    const whole = framed(Buffer.alloc(40_000, 7));
    for (const cuts of [[1], [4], [5], [6, 7, 8], [20_000], [39_999]]) {
      const edges = [0, ...cuts, whole.length];
      const chunks = edges.slice(1).map((end, index) => whole.subarray(edges[index], end));
      expect(await send(session, chunks)).toBe("0");
    }
  });

  it("ends a call as INTERNAL where the handler fails, and says nothing of why", async () => {
    const address = await start(() => Promise.reject(new Error("secret")));
    expect(await call(address).result).toBe(13);
    const throwing = (() => {
      throw new Error("secret");
    }) as UnaryHandler;
    await server?.close();
    expect(await call(await start(throwing)).result).toBe(13);
  });

  it.each([
    ["a message over the limit", [framed(Buffer.alloc(2000))], {}, "8"],
    ["a length over the limit, before it is there", [framed(Buffer.alloc(2000)).subarray(0, 5)], {}, "8"],
    ["a compressed message", [framed(Buffer.from("x"), 1)], {}, "12"],
    ["two messages", [framed(Buffer.from("x")), framed(Buffer.from("y"))], {}, "3"],
    ["a message with more behind it", [Buffer.concat([framed(Buffer.from("x")), Buffer.from("y")])], {}, "3"],
    ["half a message", [framed(Buffer.from("xyz")).subarray(0, 6)], {}, "3"],
    ["nothing", [], {}, "3"],
    ["another method", [framed(Buffer.from("x"))], { ":path": "/test.Service/Other" }, "12"],
    ["a GET", [], { ":method": "GET" }, "12"],
  ])("refuses %s and serves the next", async (_, chunks, headers, status) => {
    let handled = 0;
    const slow: UnaryHandler = async (message) => {
      handled += 1;
      await new Promise((resolve) => setImmediate(resolve));
      return message;
    };
    const session = raw(await start(slow, { maxReceiveBytes: 1000 }));
    // A second message may come too late to refuse the first one's answer.
    const got = await send(session, chunks as Buffer[], headers);
    expect(_ === "two messages" ? ["0", status] : [status]).toContain(got);
    handled = 0;
    expect(await send(session, [framed(Buffer.from("x"))])).toBe("0");
    expect(handled).toBe(1);
  });

  it("tells the handler that its caller has left, early or late asked", async () => {
    const signals: { readonly early: AbortSignal; late(): AbortSignal }[] = [];
    const address = await start((_, made) => {
      signals.push({ early: made.signal, late: () => made.signal });
      return new Promise(() => undefined);
    });
    const running = call(address);
    await until(() => signals.length === 1);
    expect(signals[0]?.early.aborted).toBe(false);
    running.cancel();
    await until(() => signals[0]?.early.aborted === true);
    expect(signals[0]?.late().aborted).toBe(true);
    expect(await running.result).toBe(1);
  });

  it("survives callers that leave, reset and send garbage", async () => {
    const address = await start();
    for (let round = 0; round < 20; round += 1) {
      const session = raw(address);
      session.on("error", () => undefined);
      const stream = session.request({ ":method": "POST", ":path": path });
      stream.on("error", () => undefined);
      stream.write(framed(Buffer.alloc(3000)).subarray(0, 700));
      if (round % 3 === 0) stream.close(constants.NGHTTP2_CANCEL);
      else session.destroy();
      connectSocket(address.slice("unix:".length))
        .on("error", () => undefined)
        .end(Buffer.alloc(500, round));
    }
    expect(await call(address).result).toEqual(Buffer.from("hello"));
  });
});

describe("the end", () => {
  it("drains: running calls end in peace, new ones find nobody", async () => {
    let answer = (): void => undefined;
    const address = await start(
      (message) =>
        new Promise((resolve) => {
          answer = () => resolve(message);
          arrived = true;
        }),
    );
    let arrived = false;
    const running = call(address);
    await until(() => arrived);
    const drained = server?.drain();
    expect(await call(address).result).toBe(14);
    answer();
    expect(await running.result).toEqual(Buffer.from("hello"));
    for (const end of endings.splice(0)) end();
    await drained;
  });

  it("closes at once, whatever is running", async () => {
    let arrived = false;
    const address = await start(() => {
      arrived = true;
      return new Promise(() => undefined);
    });
    const running = call(address);
    await until(() => arrived);
    await server?.close();
    expect(await running.result).not.toBe(0);
  });
});

describe("a TCP address", () => {
  it("is not served without mutual TLS, unless it is a loopback one", async () => {
    await expect(start(echo, { address: "0.0.0.0:0" })).rejects.toThrow("needs mutual TLS");
    expect(await call(await start(echo, { address: "127.0.0.1:0" })).result).toEqual(Buffer.from("hello"));
  });

  it("with mutual TLS serves only clients whose certificate our authority signed", async () => {
    const tls = await ensureCertificates(folder);
    const other = join(folder, "other");
    mkdirSync(other);
    await ensureCertificates(other);
    const [ours, strangers] = [await issueClientCertificate(folder), await issueClientCertificate(other)];
    const address = (await start(echo, { address: "127.0.0.1:0", tls })).replace("127.0.0.1", "localhost");
    const roots = readFileSync(tls.caFile);
    const as = (one: { keyFile: string; certFile: string }) =>
      credentials.createSsl(roots, readFileSync(one.keyFile), readFileSync(one.certFile));
    const hello = Buffer.from("hello");
    expect(await call(address, hello, as(ours)).result).toEqual(hello);
    expect(await call(address, hello, as(strangers)).result).toBe(14);
    expect(await call(address, hello, credentials.createSsl(roots)).result).toBe(14);
    expect(await call(address).result).toBe(14);
  });
});
