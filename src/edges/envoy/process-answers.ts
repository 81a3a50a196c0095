import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { CommonResponse, ProcessingRequest, ProcessingResponse } from "./protos-process.ts";
import type { Struct } from "./protos-types.ts";

export interface ForwardState {
  /** Nothing comes after these bytes. */
  readonly last: boolean;
  /** The first message may go on. */
  readonly approved: boolean;
  /** What becomes of the headers; nothing by default. */
  readonly headers: CommonResponse | undefined;
  /** News for the access log: dynamic metadata, sent with the next answer. */
  readonly facts: Struct | undefined;
}

/** The answers of one ext_proc stream, in the order that Envoy wants them. */
export interface ProcessAnswers {
  /**
   * Forwards bytes to the driver; keeps them back (with the answer to the headers) until the call is approved or too
   * many have gathered. Where it returns a promise, more may come only once that resolves.
   */
  forward(bytes: readonly Uint8Array[], state: ForwardState): Promise<void> | undefined;
  /** Ends the call with that answer; what was kept back is dropped. */
  immediate(response: ProcessingResponse): void;
}

export function createProcessAnswers(
  call: ServerDuplexStream<ProcessingRequest, ProcessingResponse>,
  holdBytes: number,
): ProcessAnswers {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let released = false;
  let untold: Struct | undefined;

  /** @returns whether the stream takes more */
  const write = (response: ProcessingResponse): boolean => {
    const facts = untold;
    untold = undefined;
    return call.write(facts === undefined ? response : { ...response, dynamic_metadata: facts });
  };

  return {
    forward(bytes, { last, approved, headers, facts }) {
      for (const part of bytes) {
        held.push(part);
        heldBytes += part.length;
      }
      untold = facts ?? untold;
      let taken = true;
      if (!released) {
        if (!approved && !last && heldBytes < holdBytes) return undefined;
        released = true;
        taken = write({ request_headers: headers === undefined ? {} : { response: headers } });
      }
      if (heldBytes > 0 || last) {
        const body = joined(held, heldBytes);
        held = [];
        heldBytes = 0;
        const streamed_response = last ? { body, end_of_stream: true } : { body };
        taken = write({ request_body: { response: { body_mutation: { streamed_response } } } });
      }
      return taken || call.cancelled ? undefined : drained(call);
    },
    immediate(response) {
      held = [];
      call.write(response);
    },
  };
}

/** One buffer; a single part is not copied. */
function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts, bytes);
}

/** Resolves when the stream takes more, or is gone: the next read tells which. */
function drained(call: ServerDuplexStream<ProcessingRequest, ProcessingResponse>): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ["drain", "cancelled", "close", "error"]) call.removeListener(event, done);
      resolve();
    };
    for (const event of ["drain", "cancelled", "close", "error"]) call.on(event, done);
  });
}
