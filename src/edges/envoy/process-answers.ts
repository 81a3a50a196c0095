import type { ServerDuplexStream } from "@grpc/grpc-js";
import { toStruct } from "./encode-struct.ts";
import type { Facts } from "./facts.ts";
import type { CommonResponse, ProcessingRequest, ProcessingResponse } from "./protos-process.ts";

type Call = ServerDuplexStream<ProcessingRequest, ProcessingResponse>;

export interface ForwardState {
  /** Nothing comes after these bytes. */
  readonly last: boolean;
  /** The first message may go on. */
  readonly approved: boolean;
  /** What becomes of the headers; nothing by default. */
  readonly headers: CommonResponse | undefined;
  /** What the access log is told of the decision, with the answer to the headers. */
  readonly facts: Facts | undefined;
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
  /** Drops what was kept back: nothing more may be answered. */
  drop(): void;
}

/** What is approved goes on at the end of the turn at the latest: what came in one turn is answered at once up to here. */
const flushBytes = 64 * 1024;

export function createProcessAnswers(call: Call, holdBytes: number): ProcessAnswers {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let released = false;
  let scheduled = false;
  /** Resolves when the stream takes more; undefined while it does. */
  let full: Promise<void> | undefined;

  const write = (response: ProcessingResponse): void => {
    const taken = call.write(response);
    if (taken || call.cancelled || full !== undefined) return;
    full = drained(call).then(() => {
      full = undefined;
    });
  };
  const flush = (last: boolean): void => {
    const body = last ? { parts: held, end_of_stream: true } : { parts: held };
    held = [];
    heldBytes = 0;
    write({ request_body: { response: { body_mutation: { streamed_response: body } } } });
  };
  const flushLater = (): void => {
    if (scheduled || heldBytes === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      if (heldBytes > 0) flush(false);
    });
  };
  const drop = (): void => {
    held = [];
    heldBytes = 0;
  };

  return {
    forward(bytes, { last, approved, headers, facts }) {
      for (const part of bytes) {
        held.push(part);
        heldBytes += part.length;
      }
      if (!released) {
        if (!approved && !last && heldBytes < holdBytes) return undefined;
        released = true;
        const request_headers = headers === undefined ? {} : { response: headers };
        write(
          facts === undefined
            ? { request_headers }
            : { request_headers, dynamic_metadata: toStruct({ gatehouse: facts }) },
        );
      }
      if (last || heldBytes >= flushBytes) flush(last);
      else flushLater();
      return full;
    },
    immediate(response) {
      drop();
      call.write(response);
    },
    drop,
  };
}

/** Resolves when the stream takes more, or is gone: the next read tells which. */
function drained(call: Call): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ["drain", "cancelled", "close", "error"]) call.removeListener(event, done);
      resolve();
    };
    for (const event of ["drain", "cancelled", "close", "error"]) call.on(event, done);
  });
}
