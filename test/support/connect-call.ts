import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { aSession, concat, field, userContext } from "./spark-wire.ts";

/** Asks a Spark Connect server for its settings, as a client does first. @returns the gRPC status code */
export async function askSettings(
  { host, port }: { readonly host: string; readonly port: number },
  token: string | undefined,
): Promise<number> {
  const getAll = field(3, field(5, []));
  const request = Buffer.from(concat(field(1, aSession), field(2, userContext("tester")), getAll));
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  const client = new Client(`${host}:${port}`, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  try {
    return await new Promise((resolve) => {
      client.makeUnaryRequest(
        "/spark.connect.SparkConnectService/Config",
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        request,
        metadata,
        { deadline: Date.now() + 30_000 },
        (error) => resolve(error?.code ?? status.OK),
      );
    });
  } finally {
    client.close();
  }
}
