import { GatewayError } from "../kernel/errors.ts";
import { malformed } from "./malformed.ts";
import { MessageWalker } from "./message-walker.ts";
import type { SparkMethod } from "./methods.ts";
import { callOf } from "./read-call.ts";
import { requestFields } from "./request-fields.ts";
import type { SparkCall } from "./spark-call.ts";

/** What comes out of a {@link RequestStream}, in order. */
export type RequestPiece =
  /** Bytes of a message that is not complete yet: a driver cannot act on them. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /**
   * A message was read to its end and is well-formed. `tail` are its last bytes and the stamp: until they are forwarded,
   * the driver has no message.
   */
  | { readonly kind: "message"; readonly call: SparkCall; readonly tail: readonly Uint8Array[] };

export interface RequestStreamOptions {
  readonly method: SparkMethod;
  /** From `stampFor`. */
  readonly stamp: Uint8Array;
  /** A longer message (as sent by the client) is refused by its prefix alone. */
  readonly maxMessageBytes: number;
}

const prefixBytes = 5;

interface Frame {
  readonly walker: MessageWalker;
  left: number;
}

/**
 * The request body of one call: gRPC frames with one protobuf message each, in chunks cut anywhere. The bytes that come
 * out are those that came in, each message enlarged by the stamp. Nothing is copied or collected: pieces are views of
 * the chunks.
 */
export class RequestStream {
  readonly #options: RequestStreamOptions;
  readonly #prefix = new Uint8Array(prefixBytes);
  #prefixed = 0;
  #frame: Frame | undefined;
  #messages = 0;
  #current: MessageWalker | undefined;

  constructor(options: RequestStreamOptions) {
    this.#options = options;
  }

  /** `session_id` of the message being read, as soon as it is known. */
  get connectSession(): string | undefined {
    return this.#current?.found.texts.sessionId;
  }

  /** @throws GatewayError MESSAGE_MALFORMED, MESSAGE_COMPRESSED, MESSAGE_TOO_LARGE; the stream is unusable after it */
  push(chunk: Uint8Array): RequestPiece[] {
    const pieces: RequestPiece[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#frame === undefined) {
        at = this.#readPrefix(chunk, at);
        if (this.#prefixed < prefixBytes) break;
        const { frame, prefix } = this.#open();
        this.#frame = frame;
        pieces.push({ kind: "bytes", bytes: prefix });
      }
      at = this.#readMessage(this.#frame, chunk, at, pieces);
    }
    return pieces;
  }

  /** The client is done. @throws GatewayError MESSAGE_MALFORMED inside a frame, or when there was no message at all */
  end(): void {
    if (this.#frame !== undefined || this.#prefixed > 0) throw malformed("the call ends inside a message");
    if (this.#messages === 0) throw malformed("the call ends without a message");
  }

  /** @returns where it stopped */
  #readPrefix(chunk: Uint8Array, at: number): number {
    const to = Math.min(at + prefixBytes - this.#prefixed, chunk.length);
    this.#prefix.set(chunk.subarray(at, to), this.#prefixed);
    this.#prefixed += to - at;
    return to;
  }

  /** @returns where it stopped */
  #readMessage(frame: Frame, chunk: Uint8Array, at: number, pieces: RequestPiece[]): number {
    const to = Math.min(chunk.length, at + frame.left);
    frame.walker.push(chunk, at, to);
    const bytes = chunk.subarray(at, to);
    if (to - at < frame.left) {
      frame.left -= to - at;
      if (bytes.length > 0) pieces.push({ kind: "bytes", bytes });
    } else pieces.push({ kind: "message", call: this.#close(frame.walker), tail: [bytes, this.#options.stamp] });
    return to;
  }

  #open(): { readonly frame: Frame; readonly prefix: Uint8Array } {
    const { method, stamp, maxMessageBytes } = this.#options;
    if (this.#messages > 0 && !method.clientStreaming) throw malformed("more than one message in a unary call");
    const length = frameLength(this.#prefix, maxMessageBytes);
    this.#prefixed = 0;
    this.#current = new MessageWalker(requestFields(method), length);
    return { frame: { walker: this.#current, left: length }, prefix: framePrefix(length + stamp.length) };
  }

  #close(walker: MessageWalker): SparkCall {
    walker.end();
    this.#frame = undefined;
    this.#messages += 1;
    return callOf(this.#options.method, walker.found, this.#messages === 1);
  }
}

function frameLength(prefix: Uint8Array, maxMessageBytes: number): number {
  const flag = prefix[0] as number;
  if (flag === 1) throw new GatewayError("MESSAGE_COMPRESSED", "compressed request messages are not supported");
  if (flag !== 0) throw malformed(`frame flag ${flag}`);
  const length = new DataView(prefix.buffer).getUint32(1);
  if (length <= maxMessageBytes) return length;
  throw new GatewayError("MESSAGE_TOO_LARGE", `a request message of ${length} bytes is larger than ${maxMessageBytes}`);
}

function framePrefix(length: number): Uint8Array {
  return Uint8Array.of(0, (length >>> 24) & 0xff, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff);
}
