import { toStruct } from "./encode-struct.ts";
import type { ProcessingResponse } from "./protos-process.ts";
import { denialStatus, type GrpcDenial, grpcDenialHeaders } from "./render-denial.ts";

export interface ImmediateOptions {
  /** HTTP status for callers that do not speak gRPC; others always get 200. Default 200. */
  readonly status?: number;
  /** What the access log is told. Default nothing. */
  readonly facts?: Readonly<Record<string, string>>;
}

/** The answer to Envoy that refuses a call, by its headers or by its body: to the client both look alike. */
export function renderImmediate(
  denial: GrpcDenial,
  { status = 200, facts }: ImmediateOptions = {},
): ProcessingResponse {
  const headers = grpcDenialHeaders(denial);
  const told = facts && toStruct({ gatehouse: { ...facts, reason: denial.reason } });
  return {
    ...(told === undefined ? {} : { dynamic_metadata: told }),
    immediate_response: {
      status: { code: status },
      grpc_status: { status: denialStatus(denial.reason) },
      headers: {
        set_headers: headers.map(({ name, value }) => ({
          header: { key: name, raw_value: Buffer.from(value, "latin1") },
          append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
        })),
      },
      details: `gatehouse_${denial.reason.toLowerCase()}`,
    },
  };
}
