import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ensureCertificates } from "../../deploy/local/certificates.ts";
import type { CheckServerOptions } from "../../src/edges/envoy/check-server.ts";
import { allowing, checkServerWorld, echo, placeOf, question } from "../support/check-server-world.ts";
import { issueClientCertificate } from "../support/client-certificate.ts";
import type { HttpWire } from "../support/http-wire.ts";
import { until } from "../support/until.ts";

const world = checkServerWorld();
const { asked, start, wire, wired, expectWell, isTaken } = world;

beforeEach(world.begin);
afterEach(world.end);

describe("what is no question", () => {
  it.each([
    ["garbage", "\x00\x16\x03\x01 garbage\r\n\r\n", 400],
    ["a client of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
    ["a method that is none", question().replace("POST", "post"), 400],
    ["a method with a space", question().replace("POST", "PO ST"), 400],
    ["a path with a space", question("/a b"), 400],
    ["a version inside the path", question("/a HTTP/1.1"), 400],
    ["a path with NUL", question("/a\0b"), 400],
    ["a header's name with a space", question("/a", "x y: z"), 400],
    ["a folded header", question("/a", "x: y", " z"), 400],
    ["NUL in a header", question("/a", "x: y\0z"), 400],
    ["a bare CR in a header", question("/a", "x: y\rz: 1"), 400],
    ["two lengths", question("/a", "content-length: 5"), 400],
    ["a length that is none", question().replace("content-length: 0", "content-length: 5x"), 400],
    ["a negative length", question().replace("content-length: 0", "content-length: -1"), 400],
    ["a length and chunks", question("/a", "transfer-encoding: chunked"), 400],
    ["a transfer coding that nobody knows", question("/a", "transfer-encoding: x"), 400],
    ["no host", question().replace("host: h\r\n", ""), 400],
    ["an expectation that nobody knows", question("/a", "expect: wonders"), 417],
  ])("%s is decided by nobody and ends its connection or is refused", async (_, text, status) => {
    const address = await start();
    const odd = wire(address);
    odd.send(text);
    expect((await odd.answer(0)).status).toBe(status);
    if (status === 400) await odd.over;
    expect(odd.answers()).toHaveLength(1);
    expect(asked).toHaveLength(0);
    await expectWell(address);
  });

  it("a CONNECT gets no answer at all", async () => {
    const address = await start();
    const odd = wire(address);
    odd.send("CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\n\r\n");
    await odd.over;
    expect(odd.answers()).toEqual([]);
    expect(asked).toHaveLength(0);
    await expectWell(address);
  });

  it("half a question that is left is decided by nobody", async () => {
    const address = await start();
    for (let length = 1; length < question().length; length += 1) {
      const half = wire(address);
      half.send(question().slice(0, length));
      if (length % 2 === 0) half.end();
      else half.cut();
      await half.over;
      expect(half.answers().filter(({ status }) => status !== 400)).toEqual([]);
    }
    await expectWell(address);
    expect(asked.map(({ path }) => path)).toEqual(["/well"]);
  });

  it("garbage behind a question that is being decided: no allow for it, and the others are served", async () => {
    const held: (() => void)[] = [];
    const address = await start((call) =>
      call.path === "/held" ? new Promise((resolve) => void held.push(() => resolve(allowing()))) : echo(call),
    );
    const odd = wire(address);
    odd.send(`${question("/held")}garbage\r\n\r\n`);
    await odd.over;
    await until(() => asked[0]?.signal.aborted === true);
    held[0]?.();
    await expectWell(address);
    expect(odd.answers().map(({ status }) => status)).toEqual([400]);
  });
});

describe("a question with a body", () => {
  const lengthOf = (length: number): string =>
    question("/body").replace("content-length: 0", `content-length: ${length}`);

  it("is decided without it, and what follows is a question of its own", async () => {
    const address = await start();
    const inside = question("/inside");
    const one = wire(address);
    one.send(`${lengthOf(inside.length)}${inside}${question("/next")}`);
    await one.answer(1);
    const chunked = question("/body").replace("content-length: 0", "transfer-encoding: chunked");
    one.send(`${chunked}${inside.length.toString(16)}\r\n${inside}\r\n0\r\n\r\n${question("/last")}`);
    await one.answer(3);
    expect(one.answers().map(({ headers }) => headers.get("x-path"))).toEqual(["/body", "/next", "/body", "/last"]);
    expect(asked).toHaveLength(4);
  });

  it("of 8 MiB that nobody reads keeps nobody waiting", async () => {
    const address = await start();
    const one = wire(address);
    one.send(lengthOf(8 * 1024 * 1024));
    expect((await one.answer(0)).status).toBe(200);
    one.send("x".repeat(8 * 1024 * 1024));
    one.send(question("/next"));
    expect((await one.answer(1)).headers.get("x-path")).toBe("/next");
  });

  it("that never comes whole takes no other question's place", async () => {
    const address = await start();
    const one = wire(address);
    one.send(`${lengthOf(10_000)}${question("/inside")}`);
    await one.answer(0);
    one.end();
    await one.over;
    expect(asked.map(({ path }) => path)).toEqual(["/body"]);
    await expectWell(address);
  });

  it("and asks to be told to go on is told so", async () => {
    const one = wire(await start());
    one.send(lengthOf(1).replace("host: h", "host: h\r\nexpect: 100-continue"));
    await one.answer(1);
    one.send(`x${question("/next")}`);
    await one.answer(2);
    expect(one.answers().map(({ status }) => status)).toEqual([100, 200, 200]);
  });

  it("or that asks for another protocol is a question like any other", async () => {
    const one = wire(await start());
    one.send(question("/a", "connection: upgrade", "upgrade: websocket"));
    expect((await one.answer(0)).headers.get("x-path")).toBe("/a");
  });
});

interface Holding {
  readonly address: string;
  readonly answer: () => void;
}

/** Holds every question to /held until it is told to answer. */
async function startHolding(options: Partial<CheckServerOptions> = {}): Promise<Holding> {
  const held: (() => void)[] = [];
  const address = await start(
    (call) =>
      call.path === "/held"
        ? new Promise((resolve) => void held.push(() => resolve(allowing("x-path", "/held"))))
        : echo(call),
    options,
  );
  return { address, answer: () => held.splice(0).forEach((each) => each()) };
}

/** The ends of a server, whichever way its connections go. */
function expectEnds(open: () => Promise<Holding & { readonly line: () => HttpWire }>): void {
  it("draining, running questions end in peace, idle connections end, new ones find nobody", async () => {
    const { address, answer, line } = await open();
    const [idle, fresh, running, second] = [line(), line(), line(), line()];
    idle.send(question("/idle"));
    await idle.answer(0);
    running.send(question("/held"));
    second.send(question("/held"));
    await until(() => asked.length === 3);
    const drained = world.server.drain();
    await until(async () => !(await isTaken(address)));
    // On a connection from before somebody may still ask, and is told that it was the last time.
    idle.send(question("/again"));
    expect((await idle.answer(1)).headers.get("connection")).toBe("close");
    answer();
    expect((await running.answer(0)).headers.get("x-path")).toBe("/held");
    expect((await second.answer(0)).headers.get("x-path")).toBe("/held");
    await Promise.all([idle.over, fresh.over, running.over, second.over]);
    expect([running, second].map((one) => one.answers().length)).toEqual([1, 1]);
    await drained;
    await world.server.close();
  });

  it("draining with nobody there is over at once, also a second time", async () => {
    const { line } = await open();
    const idle = line();
    idle.send(question());
    await idle.answer(0);
    await Promise.all([world.server.drain(), world.server.drain()]);
    await idle.over;
  });

  it("closing is at once, whatever is running, and tells the handler", async () => {
    const { address, line, answer } = await open();
    const [running, idle] = [line(), line()];
    running.send(question("/held"));
    idle.send(question("/idle"));
    await idle.answer(0);
    await until(() => asked.length === 2);
    const { signal } = asked.find(({ path }) => path === "/held") ?? {};
    await world.server.close();
    await Promise.all([running.over, idle.over]);
    await until(() => signal?.aborted === true);
    answer();
    expect(running.answers()).toEqual([]);
    expect(await isTaken(address)).toBe(false);
  });
}

describe("on a Unix socket", () => {
  expectEnds(async () => {
    const { address, answer } = await startHolding();
    return { address, answer, line: () => wire(address) };
  });

  it("lies in a folder that only this user can enter, and is gone after the end", async () => {
    await start();
    const path = join(world.folder, "s", "check.sock");
    expect(statSync(join(world.folder, "s")).mode & 0o777).toBe(0o700);
    expect(existsSync(path)).toBe(true);
    await world.server.close();
    expect(existsSync(path)).toBe(false);
  });
});

describe("on a TCP address", () => {
  it.each(["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0"])(
    "%s is not served without mutual TLS",
    async (address) => {
      await expect(start(echo, { address })).rejects.toThrow("needs mutual TLS");
    },
  );

  it("of the loopback, is served without", async () => {
    await expectWell(await start(echo, { address: "127.0.0.1:0" }));
  });

  const pair = (one: { keyFile: string; certFile: string }) => ({
    key: readFileSync(one.keyFile),
    cert: readFileSync(one.certFile),
  });
  const secured = (address: string, caFile: string, more: ConnectionOptions): HttpWire =>
    wired(connectTls({ ...placeOf(address), servername: "localhost", ca: readFileSync(caFile), ...more }));

  it("with mutual TLS serves only clients whose certificate our authority signed", async () => {
    const tls = await ensureCertificates(world.folder);
    const other = join(world.folder, "other");
    mkdirSync(other);
    const theirs = await ensureCertificates(other);
    const [ours, strangers] = [await issueClientCertificate(world.folder), await issueClientCertificate(other)];
    const address = await start(echo, { address: "127.0.0.1:0", tls });
    const outcome = async (line: HttpWire): Promise<number | undefined> => {
      line.send(question());
      return await line.answer(0).then(
        ({ status }) => status,
        () => undefined,
      );
    };
    const over = (more: ConnectionOptions) => outcome(secured(address, tls.caFile, more));
    expect(await over(pair(ours))).toBe(200);
    expect(await over({ ...pair(ours), ALPNProtocols: ["http/1.1"] })).toBe(200);
    expect(asked.splice(0)).toHaveLength(2);
    expect(await over(pair(strangers))).toBe(undefined);
    expect(await over(pair(theirs))).toBe(undefined);
    expect(await over({})).toBe(undefined);
    expect(await over({ ...pair(ours), maxVersion: "TLSv1.1", minVersion: "TLSv1" })).toBe(undefined);
    expect(await over({ ...pair(ours), ALPNProtocols: ["h2"] })).toBe(undefined);
    expect(await outcome(wire(address))).toBe(undefined);
    expect(asked).toEqual([]);
    expect(await over(pair(ours))).toBe(200);
  });

  describe("with mutual TLS", () => {
    expectEnds(async () => {
      const tls = await ensureCertificates(world.folder);
      const ours = pair(await issueClientCertificate(world.folder));
      const { address, answer } = await startHolding({ address: "127.0.0.1:0", tls });
      return { address, answer, line: () => secured(address, tls.caFile, ours) };
    });
  });
});
