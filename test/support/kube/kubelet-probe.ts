/** The port that a readiness probe asks; undefined where it has only a name or asks otherwise. */
export function probedPort(probe: Readonly<Record<string, unknown>> | undefined): number | undefined {
  for (const kind of ["tcpSocket", "grpc", "httpGet"]) {
    const port = (probe?.[kind] as { readonly port?: unknown } | undefined)?.port;
    if (typeof port === "number") return port;
  }
  return undefined;
}
