import { Client, type ClientDuplexStream, credentials } from "@grpc/grpc-js";
import { externalProcessorService } from "../../src/edges/envoy/protos.ts";
import type { ProcessingRequest, ProcessingResponse } from "../../src/edges/envoy/protos-process.ts";
/** Envoy's side of ext_proc: one connection, one stream for each call. */ import { factStruct } from "./facts.ts";
import { until } from "./until.ts";

export interface ProcessClient {
  open(): ProcessStream;
  close(): void;
}

export interface ProcessStream {
  /** The call's headers, with what ext_authz decided. */
  headers(metadata: Readonly<Record<string, string | boolean>> | undefined, endOfStream?: boolean): void;
  /** Resolves when the transport takes more. */
  body(bytes: Uint8Array, endOfStream?: boolean): Promise<void>;
  send(request: ProcessingRequest): void;
  halfClose(): void;
  cancel(): void;
  readonly answers: readonly ProcessingResponse[];
  /** What the driver would get. */
  readonly forwarded: Buffer;
  /** Resolves once so many answers are there. */
  answered(count: number): Promise<readonly ProcessingResponse[]>;
  /** How the stream ended. */
  readonly ended: Promise<{ readonly code: number; readonly details: string }>;
  /** Stops or resumes reading the answers. */
  pause(): void;
  resume(): void;
}

export function connectProcess(address: string): ProcessClient {
  const client = new Client(address, credentials.createInsecure());
  return {
    open() {
      const { path, requestSerialize, responseDeserialize } = externalProcessorService.Process;
      return wrap(client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize));
    },
    close: () => client.close(),
  };
}

function wrap(call: ClientDuplexStream<ProcessingRequest, ProcessingResponse>): ProcessStream {
  const answers: ProcessingResponse[] = [];
  call.on("data", (answer: ProcessingResponse) => answers.push(answer));
  const ended = new Promise<{ code: number; details: string }>((resolve) => {
    call.on("error", () => undefined);
    call.on("status", (status) => resolve({ code: status.code, details: status.details }));
  });
  return {
    headers(metadata, endOfStream = false) {
      const filter_metadata = metadata ? { "envoy.filters.http.ext_authz": factStruct(metadata) } : {};
      call.write({
        request_headers: { headers: { headers: [] }, end_of_stream: endOfStream },
        metadata_context: { filter_metadata },
      });
    },
    body: (bytes, endOfStream = false) =>
      new Promise((resolve, reject) => {
        const request = { request_body: { body: Buffer.from(bytes), end_of_stream: endOfStream } };
        call.write(request, (error?: Error | null) => (error ? reject(error) : resolve()));
      }),
    send: (request) => void call.write(request),
    halfClose: () => call.end(),
    cancel: () => call.cancel(),
    answers,
    get forwarded() {
      return Buffer.concat(answers.map((answer) => bodyOf(answer)));
    },
    async answered(count) {
      await until(() => answers.length >= count, { what: `${count} answers` });
      return answers;
    },
    ended,
    pause: () => call.pause(),
    resume: () => call.resume(),
  };
}

function bodyOf(answer: ProcessingResponse): Uint8Array {
  return answer.request_body?.response?.body_mutation?.streamed_response.body ?? new Uint8Array(0);
}
