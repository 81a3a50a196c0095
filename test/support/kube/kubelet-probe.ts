import { connect } from "node:net";

/** The port that a readiness probe asks; undefined where it has only a name or asks otherwise. */
export function probedPort(probe: Readonly<Record<string, unknown>> | undefined): number | undefined {
  for (const kind of ["tcpSocket", "grpc", "httpGet"]) {
    const port = (probe?.[kind] as { readonly port?: unknown } | undefined)?.port;
    if (typeof port === "number") return port;
  }
  return undefined;
}

/** Whether somebody accepts connections there. */
export async function acceptsAt(host: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1_000 });
    const end = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
  });
}
