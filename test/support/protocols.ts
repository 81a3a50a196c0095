import { readFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import type { Stack } from "./stack.ts";

type Door = Pick<Stack, "ports" | "caFile">;

const target = ({ ports, caFile }: Door): ConnectionOptions => ({
  host: "127.0.0.1",
  port: ports.envoy,
  servername: "localhost",
  ca: readFileSync(caFile),
});

/** How a TLS connection to the door begins: `<TLS version> <ALPN protocol>`, or the code of the error that ends it. */
export async function beginTls(door: Door, options: ConnectionOptions): Promise<string> {
  return await new Promise((resolve) => {
    const socket = connectTls({ ...target(door), ...options });
    socket.once("secureConnect", () => {
      resolve(`${socket.getProtocol()} ${socket.alpnProtocol}`);
      socket.destroy();
    });
    socket.once("error", (error) => resolve((error as NodeJS.ErrnoException).code ?? error.message));
  });
}

/** All that the door says to those bytes until it closes the connection, with or without TLS (and then without ALPN). */
export async function connectionHead(door: Door, bytes: string, encrypted: boolean): Promise<string> {
  return await new Promise((resolve) => {
    const socket = encrypted ? connectTls(target(door)) : connectPlain({ host: "127.0.0.1", port: door.ports.envoy });
    const heard: Buffer[] = [];
    socket.on("data", (data: Buffer) => heard.push(data));
    socket.on("error", () => undefined);
    socket.once("close", () => resolve(Buffer.concat(heard).toString("latin1")));
    socket.write(bytes);
  });
}
