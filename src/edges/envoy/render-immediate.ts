import type { ProcessingResponse } from "./protos-process.ts";
import { denialStatus, type GrpcDenial, grpcDenialHeaders } from "./render-denial.ts";

/** The answer to Envoy that refuses a call by its body: to the client it looks as if its headers had been refused. */
export function renderImmediate(denial: GrpcDenial): ProcessingResponse {
  const headers = grpcDenialHeaders(denial);
  return {
    immediate_response: {
      status: { code: 200 },
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
