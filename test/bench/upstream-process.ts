import { createServer } from "node:http2";

/**
 * Stands where a Spark driver would: answers every gRPC call with one empty message as soon as its body has ended. A real
 * driver takes milliseconds per call, which would hide what the gateway adds.
 *   tsx upstream-process.ts HOST PORT
 */
const [host = "127.0.0.1", port = "0"] = process.argv.slice(2);
const emptyMessage = Buffer.alloc(5);
const server = createServer();
server.on("stream", (stream) => {
  stream.on("error", () => undefined);
  stream.resume();
  stream.on("end", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(emptyMessage);
  });
});
server.listen(Number(port), host, () => process.send?.("listening"));
process.on("disconnect", () => process.exit(0));
