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

/**
 * The request body of one call: gRPC frames with one protobuf message each, in chunks cut anywhere. The bytes that come
 * out are those that came in, each message enlarged by the stamp. Nothing is copied or collected: pieces are views of
 * the chunks.
 */
export interface RequestStream {
  /** @throws GatewayError MESSAGE_MALFORMED, MESSAGE_COMPRESSED, MESSAGE_TOO_LARGE; the stream is unusable after it */
  push(chunk: Uint8Array): RequestPiece[];
  /** The client is done. @throws GatewayError MESSAGE_MALFORMED inside a frame, or when there was no message at all */
  end(): void;
  /** `session_id` of the message being read, as soon as it is known. */
  readonly connectSession: string | undefined;
}

interface Frame {
  readonly walker: MessageWalker;
  left: number;
}

export function createRequestStream(options: RequestStreamOptions): RequestStream {
  const { method, stamp } = options;
  const prefix = new Uint8Array(prefixBytes);
  let prefixed = 0;
  let frame: Frame | undefined;
  let messages = 0;
  let current: MessageWalker | undefined;

  const open = (): Uint8Array => {
    if (messages > 0 && !method.clientStreaming) throw malformed("more than one message in a unary call");
    const length = frameLength(prefix, options.maxMessageBytes);
    prefixed = 0;
    current = new MessageWalker(requestFields(method), length);
    frame = { walker: current, left: length };
    return framePrefix(length + stamp.length);
  };

  const close = (walker: MessageWalker): SparkCall => {
    walker.end();
    frame = undefined;
    messages += 1;
    return callOf(method, walker.found, messages === 1);
  };

  return {
    push(chunk) {
      const pieces: RequestPiece[] = [];
      let at = 0;
      while (at < chunk.length) {
        if (!frame) {
          const taken = Math.min(prefixBytes - prefixed, chunk.length - at);
          prefix.set(chunk.subarray(at, at + taken), prefixed);
          prefixed += taken;
          at += taken;
          if (prefixed < prefixBytes) break;
          pieces.push({ kind: "bytes", bytes: open() });
        }
        const { walker, left } = frame as unknown as Frame;
        const to = Math.min(chunk.length, at + left);
        walker.push(chunk, at, to);
        const bytes = chunk.subarray(at, to);
        if (to - at < left) {
          (frame as unknown as Frame).left -= to - at;
          if (bytes.length > 0) pieces.push({ kind: "bytes", bytes });
        } else pieces.push({ kind: "message", call: close(walker), tail: [bytes, stamp] });
        at = to;
      }
      return pieces;
    },
    end() {
      if (frame || prefixed > 0) throw malformed("the call ends inside a message");
      if (messages === 0) throw malformed("the call ends without a message");
    },
    get connectSession() {
      return current?.found.texts.sessionId;
    },
  };
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
