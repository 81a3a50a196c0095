import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { ProcessingRequest, ProcessingResponse } from "./protos-process.ts";
import type { Struct } from "./protos-types.ts";

export interface ForwardState {
  /** Nothing comes after these bytes. */
  readonly last: boolean;
  /** The first message may go on. */
  readonly approved: boolean;
  /** Dynamic metadata for the access log; sent once, with the first answer for which it is there. */
  readonly facts: Struct | undefined;
}

/** The answers of one ext_proc stream, in the order that Envoy wants them. */
export interface ProcessAnswers {
  /**
   * Forwards bytes to the driver; keeps them back (with the answer to the headers) until the call is approved or too
   * many have gathered. Resolves when more may come.
   */
  forward(bytes: readonly Uint8Array[], state: ForwardState): Promise<void>;
  /** Ends the call with that answer; what was kept back is dropped. */
  immediate(response: ProcessingResponse): Promise<void>;
}

export function createProcessAnswers(
  call: ServerDuplexStream<ProcessingRequest, ProcessingResponse>,
  holdBytes: number,
): ProcessAnswers {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let released = false;
  let told = false;

  const write = (response: ProcessingResponse): Promise<void> =>
    call.write(response) || call.cancelled ? Promise.resolve() : drained(call);

  const writeWith = (facts: Struct | undefined, response: ProcessingResponse): Promise<void> => {
    if (told || facts === undefined) return write(response);
    told = true;
    return write({ ...response, dynamic_metadata: facts });
  };

  return {
    async forward(bytes, { last, approved, facts }) {
      for (const part of bytes) {
        held.push(part);
        heldBytes += part.length;
      }
      if (!released) {
        if (!approved && !last && heldBytes < holdBytes) return;
        released = true;
        await writeWith(facts, { request_headers: {} });
      }
      if (heldBytes === 0 && !last) return;
      const body = joined(held, heldBytes);
      held = [];
      heldBytes = 0;
      const streamed_response = last ? { body, end_of_stream: true } : { body };
      await writeWith(facts, { request_body: { response: { body_mutation: { streamed_response } } } });
    },
    immediate(response) {
      held = [];
      return write(response);
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
