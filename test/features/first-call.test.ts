import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { status } from "@grpc/grpc-js";
import { afterEach, expect, it } from "vitest";
import { freePort } from "../../deploy/local/ports.ts";
import { createFirstCall } from "../../src/edges/driver/first-call.ts";
import { Secret } from "../../src/kernel/secret.ts";
import { listenAt } from "../support/kube/paper-pods.ts";
import { until } from "../support/until.ts";

const host = "127.9.2.1";
const token = new Secret("the-driver-s-own-token");
const firstCall = createFirstCall();

let undo: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0)) await step();
  undo = [];
});

async function driver(answer: Parameters<typeof listenAt>[2], at = host): Promise<{ host: string; port: number }> {
  const port = await freePort();
  undo.push(await listenAt(at, port, answer));
  return { host: at, port };
}

/** Accepts connections and says nothing. */
async function mute(): Promise<{ readonly address: { host: string; port: number }; readonly open: Set<Socket> }> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket
      .resume()
      .on("error", () => undefined)
      .once("close", () => open.delete(socket));
  });
  const port = await freePort();
  server.listen(port, host);
  await once(server, "listening");
  undo.push(async () => {
    for (const socket of open) socket.destroy();
    await new Promise<void>((resolve) => void server.close(() => resolve()));
  });
  return { address: { host, port }, open };
}

it.each([
  ["UNIMPLEMENTED", undefined],
  ["NOT_FOUND", undefined],
  ["UNKNOWN", undefined],
  ["UNAVAILABLE", "UNAVAILABLE"],
  ["UNAUTHENTICATED", "UNAUTHENTICATED"],
  ["PERMISSION_DENIED", "PERMISSION_DENIED"],
  ["INTERNAL", "INTERNAL"],
] as const)("a driver that answers %s is refused as %s", async (answer, refusal) => {
  expect(await firstCall.refusal(await driver(() => status[answer]), token)).toBe(refusal);
});

it("carries the driver's token, and none where it has none", async () => {
  const seen: unknown[] = [];
  const address = await driver(({ ":path": path, authorization }) => {
    seen.push(path, authorization);
    return status.UNIMPLEMENTED;
  });
  await firstCall.refusal(address, token);
  await firstCall.refusal(address, undefined);
  const path = "/spark.connect.SparkConnectService/ReleaseSession";
  expect(seen).toEqual([path, `Bearer ${token.reveal()}`, path, undefined]);
});

it("reaches a driver with an IPv6 address", async () => {
  const address = await driver(() => status.UNIMPLEMENTED, "::1");
  expect(await firstCall.accepts(address, 1_000)).toBe(true);
  expect(await firstCall.refusal(address, token)).toBeUndefined();
});

it("tells where nobody listens", async () => {
  const nobody = { host, port: await freePort() };
  expect(await firstCall.accepts(nobody, 1_000)).toBe(false);
  expect(await firstCall.refusal(nobody, token)).toBe("UNAVAILABLE");
});

it("gives up a driver that accepts connections and does not answer, and leaves none open", async () => {
  const { address, open } = await mute();
  expect(await firstCall.accepts(address, 1_000)).toBe(true);
  expect(await createFirstCall(200).refusal(address, token)).toBe("DEADLINE_EXCEEDED");
  await until(() => open.size === 0, { what: "no connection is open" });
  const waits = await driver(() => undefined);
  expect(await createFirstCall(200).refusal(waits, token)).toBe("DEADLINE_EXCEEDED");
});

it("ends when it is not wanted any more", async () => {
  const { address, open } = await mute();
  const over = new AbortController();
  const refusal = firstCall.refusal(address, token, over.signal);
  await until(() => open.size === 1, { what: "it is connected" });
  over.abort();
  expect(await refusal).toBe("CANCELLED");
  await until(() => open.size === 0, { what: "no connection is open" });
  expect(await firstCall.refusal(address, token, over.signal)).toBe("CANCELLED");
  expect(await firstCall.accepts(address, 1_000, over.signal)).toBe(false);
});
