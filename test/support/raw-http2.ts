import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { answerOf, type PendingKnock } from "./knock.ts";

/** Name and value as they are sent, one character for each byte; nothing is checked. */
export type HeaderLine = readonly [name: string, value: string];

/** One connection on which every head can be sent, also one that no library would. */
export interface RawHttp2 {
  /** @param body the whole of it; without it the head ends the stream */
  begin(lines: readonly HeaderLine[], body?: Uint8Array): PendingKnock;
  readonly closed: boolean;
  close(): void;
}

export interface RawTarget {
  readonly port: number;
  readonly caFile: string;
  /** Where the connection comes from: a loopback address. */
  readonly localAddress: string;
}

/**
 * Node's own client speaks; on the way out the head of each call is put in place of the one that it made. Literal headers leave
 * the tables of both sides alone.
 */
export async function rawHttp2({ port, caFile, localAddress }: RawTarget): Promise<RawHttp2> {
  const heads = new Map<number, Buffer>();
  const transport = tapped({ port, caFile, localAddress }, heads);
  const session = connect("http://localhost", { createConnection: () => transport });
  session.on("error", () => undefined);
  await new Promise<void>((resolve, reject) => {
    session.once("connect", () => resolve()).once("close", () => reject(new Error("no connection")));
  });
  return {
    begin(lines, body) {
      const stream = session.request({ ":method": "POST" }, { endStream: body === undefined });
      heads.set(stream.id ?? 0, headOf(lines));
      if (body !== undefined) stream.end(body);
      return { answer: answerOf(stream), cancel: () => stream.close(8) };
    },
    get closed() {
      return session.closed || session.destroyed;
    },
    close: () => session.destroy(),
  };
}

function tapped({ port, caFile, localAddress }: RawTarget, heads: Map<number, Buffer>): Duplex {
  // `localAddress` is for `net.connect`, which gets all of this; the types do not know.
  const target = { host: "127.0.0.1", port, localAddress, servername: "localhost" };
  const socket = connectTls({ ca: readFileSync(caFile), ALPNProtocols: ["h2"], ...target });
  const rewrite = headsReplaced(heads);
  const duplex = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => void socket.write(rewrite(chunk), () => done()),
    final: (done) => void socket.end(() => done()),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk: Buffer) => duplex.push(chunk) || void socket.pause());
  socket.on("end", () => duplex.push(null)).on("error", () => duplex.destroy());
  socket.on("close", () => duplex.destroy());
  return duplex;
}

/** Takes a client's bytes in any pieces and gives what is to be sent instead. */
function headsReplaced(heads: ReadonlyMap<number, Buffer>): (chunk: Buffer) => Buffer {
  const state = { rest: Buffer.alloc(0) as Buffer, begun: false };
  const take = (length: number): Buffer => {
    const taken = state.rest.subarray(0, length);
    state.rest = state.rest.subarray(length);
    return taken;
  };
  const wholeFrame = (): number => (state.rest.length < 9 ? Infinity : 9 + state.rest.readUIntBE(0, 3));
  return (chunk) => {
    state.rest = Buffer.concat([state.rest, chunk]);
    const out: Buffer[] = [];
    if (!state.begun) {
      if (state.rest.length < prefaceLength) return Buffer.alloc(0);
      state.begun = true;
      out.push(take(prefaceLength));
    }
    while (state.rest.length >= wholeFrame()) {
      const whole = take(wholeFrame());
      const id = whole.readUInt32BE(5);
      const head = whole[3] === headersFrame ? heads.get(id) : undefined;
      out.push(head === undefined ? whole : framed(id, head, ((whole[4] ?? 0) & endStream) !== 0));
    }
    return Buffer.concat(out);
  };
}

const prefaceLength = 24;
const headersFrame = 1;
const continuationFrame = 9;
const endStream = 1;
const endHeaders = 4;
const mostInFrame = 16_384;

/** A HEADERS frame and as many CONTINUATIONs as it takes. */
function framed(id: number, head: Buffer, ends: boolean): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at === 0 || at < head.length; at += mostInFrame) {
    const part = head.subarray(at, at + mostInFrame);
    const prefix = Buffer.alloc(9);
    prefix.writeUIntBE(part.length, 0, 3);
    prefix[3] = at === 0 ? headersFrame : continuationFrame;
    prefix[4] = (at === 0 && ends ? endStream : 0) | (at + mostInFrame >= head.length ? endHeaders : 0);
    prefix.writeUInt32BE(id, 5);
    parts.push(prefix, part);
  }
  return Buffer.concat(parts);
}

/** HPACK, every line literal and never indexed. */
function headOf(lines: readonly HeaderLine[]): Buffer {
  return Buffer.concat(lines.flatMap(([name, value]) => [Buffer.from([0x10]), ...literal(name), ...literal(value)]));
}

function literal(text: string): [Buffer, Buffer] {
  const bytes = Buffer.from(text, "latin1");
  const length: number[] = bytes.length < 127 ? [bytes.length] : [127];
  for (let left = bytes.length - 127; left >= 0; left = left < 128 ? -1 : left >>> 7) {
    length.push(left < 128 ? left : (left & 127) | 128);
  }
  return [Buffer.from(length), bytes];
}
